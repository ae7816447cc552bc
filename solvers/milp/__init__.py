"""Programs that solve integer programs: running them, and believing nothing that they say."""

"""Every solver on every graph, state by state: exactness, seconds, memory, and the report."""

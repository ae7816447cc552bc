"""Each solver against another, or against every placement."""

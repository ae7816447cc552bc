"""Whole processes, from start to end, against the bare work that they cannot do without."""

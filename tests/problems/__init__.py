"""The problem that solvers are given, in seconds and in ticks."""

"""Profiles: what the probe is given, taking one, merging several, importing those of others."""

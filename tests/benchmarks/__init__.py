"""Figures that are stored, and split models that are run."""

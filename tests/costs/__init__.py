"""Costs files and profiles as files."""

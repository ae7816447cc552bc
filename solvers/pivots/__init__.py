"""Operators that every cut treats alike, and the gaps between them (two hosts)."""

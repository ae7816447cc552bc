"""A plan held against everything that did not make it."""

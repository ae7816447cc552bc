"""The package as users install it, and one of theirs that extends it."""

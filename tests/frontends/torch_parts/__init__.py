"""Parts of split modules."""

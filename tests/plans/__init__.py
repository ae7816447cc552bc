"""Plans as they are made, explained and written."""

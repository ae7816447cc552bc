"""What checks plans, and the mode in which all tests have theirs checked."""

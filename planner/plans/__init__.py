"""Plans: solve, evaluate, explain, compare, and the file."""

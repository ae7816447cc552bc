"""What holds for every problem: theory, optimality, the contract of solvers."""

"""What a placement costs, straight from the formulas; it may never know a problem or a solver."""

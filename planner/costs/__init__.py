"""What operators cost and what a plan is made for: files, rules by name, and the priced table."""

"""What solvers get and give: terms as arrays, ticks, rules, memory, and the contract of a
solver."""

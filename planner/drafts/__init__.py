"""How a frontend makes a graph: the contract, a draft by name, its assembly, and loading."""

"""How a draft becomes a graph."""

"""The cost models that come along."""

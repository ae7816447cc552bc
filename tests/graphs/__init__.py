"""What a model is: operators and their work, modules, blocks."""

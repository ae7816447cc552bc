"""The measuring program."""

"""Documents: JSON in, complaints at their place, files out whole or not at all."""

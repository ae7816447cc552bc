"""Programs of torch, wherever they come from."""

"""Archives and programs of `torch.export`."""

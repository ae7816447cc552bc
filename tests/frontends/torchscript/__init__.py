"""Archives of TorchScript."""

"""What a model is: operators, the tensors between them, FLOPs, modules, blocks and orders."""

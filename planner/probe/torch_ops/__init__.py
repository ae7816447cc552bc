"""ONNX operators in torch, and programs of them."""

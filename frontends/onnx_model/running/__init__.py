"""ONNX models as files that can be run: whole, in parts, with and without training form."""

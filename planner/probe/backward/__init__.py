"""Training steps: measured by torch or onnxruntime, or estimated from forward passes."""

"""Forward passes, by onnxruntime."""

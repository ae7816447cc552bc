"""Measures a model on the machine it runs on, with Python 3.8, numpy and onnxruntime alone."""

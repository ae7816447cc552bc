"""Whether predictions hold: split models that run, profiles taken twice, torch beside ONNX."""

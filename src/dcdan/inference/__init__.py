"""A trained model at work: pictures in, expressions out. Needs ONNX Runtime, not torch."""

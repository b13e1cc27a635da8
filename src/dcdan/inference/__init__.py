"""Inference: a trained model turns images into expressions. Needs ONNX Runtime, not torch."""

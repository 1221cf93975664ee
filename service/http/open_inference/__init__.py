"""The Open Inference Protocol on the wire: bodies, tensors and parameters."""

"""Tensors: an ONNX graph with declared state, asked in the tensors of its inputs."""

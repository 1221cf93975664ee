"""Labels and numbers of sequences that an ONNX graph with declared state reads."""

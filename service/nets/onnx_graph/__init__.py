"""ONNX graphs: bounded reading, comparison with config.json, a trial in a process of its own, and the network."""

"""The model configuration of NVIDIA Triton, config.pbtxt, as far as it describes a graph and its state."""

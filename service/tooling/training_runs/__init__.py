"""Folders that a library leaves behind a training: the weights, and what its other files say of the network."""

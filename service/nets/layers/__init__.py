"""Layers of networks: recurrent cells and stacks, packed linear layers, attention, the encoder-decoder bridge."""

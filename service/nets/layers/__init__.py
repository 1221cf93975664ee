"""Layers of networks: cells, stacks, packed products, attention, bridge."""

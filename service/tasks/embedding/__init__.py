"""Embedding: the vector of a sequence, or of each of its timesteps."""

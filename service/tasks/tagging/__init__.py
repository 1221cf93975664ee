"""Tagging: a label for each timestep of a sequence."""

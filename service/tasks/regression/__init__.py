"""Regression: numbers for a sequence, or for each of its timesteps."""

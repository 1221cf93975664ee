"""Conversion of checkpoints to model folders."""

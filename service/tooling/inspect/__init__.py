"""Inspection of checkpoints: their parts, and a proposed config.json."""

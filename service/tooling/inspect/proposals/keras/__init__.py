"""Proposals for Keras models, whose files state every layer with its options."""

"""Model folders made of checkpoints."""

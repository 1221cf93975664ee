"""Questions that the tensors of a checkpoint leave open."""

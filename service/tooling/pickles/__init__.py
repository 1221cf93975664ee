"""Bounds on files of `torch.save` before and while they are loaded."""

"""Readers of the file formats in which people keep trained networks, one module each. No file runs code."""

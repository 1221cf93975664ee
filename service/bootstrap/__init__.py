"""Composition root: wires the parts of a worker together, and starts and stops them in order."""

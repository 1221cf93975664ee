"""Limits of what a worker admits and of what requests cost."""

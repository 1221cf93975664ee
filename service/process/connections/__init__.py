"""Connections of a worker: their protocol, and the bounds on what a client can make a worker hold for it."""

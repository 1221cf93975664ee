"""Unroll: a server for recurrent networks whose sessions survive."""

__version__ = "0.1.0"

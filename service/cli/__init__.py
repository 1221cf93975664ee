"""The command `unroll`."""

from service.cli.model_folders import app, main

__all__ = ["app", "main"]

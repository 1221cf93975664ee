"""Proposals of config.json and of tensor names for `pack`, one module for each architecture."""

"""Strict reading of model folders: configuration, weights, model card, golden vectors."""

"""Recurrent networks as functions of (input, state), and the reader of the folders that they come from."""

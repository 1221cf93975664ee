"""Servers that one could use instead. Each serves REF-LM in one small file, as its documentation shows."""

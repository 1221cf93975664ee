"""Scenes of the console: each opens a page and brings it to a state worth a picture."""

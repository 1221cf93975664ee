"""Metrics and logs: implementation of the observers of the other packages."""

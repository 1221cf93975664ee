"""Implements the application's Observer: every metric, and the format of the log."""

"""Offline tools of each architecture: its inspector, companion files, weight conversion, metric and prediction."""

"""Forecasting: streams of observations, their anomaly scores, and distributions of future values."""

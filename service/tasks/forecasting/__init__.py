"""Forecasting: streams of observations, scored as they arrive, and distributions of the steps ahead."""

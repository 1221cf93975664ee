"""Preprocessing of series for a forecaster: scaling, missing values and calendar features."""

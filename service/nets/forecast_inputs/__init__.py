"""Preprocessing of series: scaling, missing values, calendar features."""

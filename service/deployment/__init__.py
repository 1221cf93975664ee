"""Checks of a deployment before and while it serves: settings, machine, models, store and ports."""

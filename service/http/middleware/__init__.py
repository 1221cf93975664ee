"""Middleware that every request passes before its route, one module for each concern; `request.py` composes them."""

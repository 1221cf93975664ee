"""Offline tools: inspect, pack, verify, predict. The server does not import them."""

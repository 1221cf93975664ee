"""What runs offline: inspect, pack, verify, predict. Nothing that serves imports it."""

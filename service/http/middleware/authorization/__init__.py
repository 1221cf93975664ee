"""Who may send a request: API keys, and origins of browsers."""

"""API keys as values, as files hold them."""

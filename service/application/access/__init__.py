"""Access of clients: their API keys, their addresses, and the count of failures."""

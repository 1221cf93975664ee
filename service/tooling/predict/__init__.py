"""One prediction without a server, from text or CSV files."""

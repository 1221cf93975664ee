"""Index of live sessions: listings, cursors and expiry."""

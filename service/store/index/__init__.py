"""The index of live sessions: listings, cursors, expiry."""

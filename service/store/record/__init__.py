"""Session records: their bytes, and the cache of those that this worker used recently."""

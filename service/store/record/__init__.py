"""Session records: their binary format, and the cache of recently used records."""

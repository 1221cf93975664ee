"""The private server that `unroll serve` starts when REDIS_URL is not set."""

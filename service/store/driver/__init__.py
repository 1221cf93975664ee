"""Commands to servers that speak the Redis protocol: URLs, connections, topologies, pipelines, group commit."""

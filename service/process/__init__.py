"""Processes of a service: the supervisor, its workers, how they start, stop and replace each other."""

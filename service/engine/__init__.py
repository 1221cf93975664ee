"""Runs operations: the batcher decides what runs next, the runner runs it, the engine answers the waiting."""

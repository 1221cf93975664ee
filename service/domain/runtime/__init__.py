"""The process that everything runs in: its event loop, its thread and its control groups."""

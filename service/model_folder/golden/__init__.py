"""Golden vectors: what the trainer's own code computed, which the served network has to reproduce."""

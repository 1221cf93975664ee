"""Golden vectors: outputs of the trainer's own code, which the served network has to reproduce."""

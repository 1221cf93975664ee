"""What the tasks of sequence encoders have in common: reading of inputs, feeding, session states and cost."""

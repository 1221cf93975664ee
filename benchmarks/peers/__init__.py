"""What users would pick instead: each peer serves REF-LM in a small file of its own, as its own documentation shows."""

"""Sessions: their life, their steps, exactly once, and how they travel."""

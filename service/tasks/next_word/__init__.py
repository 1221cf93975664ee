"""Next-word prediction: predictions, scores and generations of a language model."""

"""Next-word prediction: predictions, scores and generated text of a language model."""

"""What makes a network next-word prediction or translation: text in, operations step by step, answers out."""

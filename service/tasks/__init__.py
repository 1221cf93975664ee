"""What makes a network next-word prediction: text in, operations step by step, answers out."""

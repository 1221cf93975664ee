"""The recipes that trained the bundled models: data in, model folder out."""

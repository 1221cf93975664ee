"""Values that travel between the layers, and errors. Standard library only; every layer may import them."""

"""Values that the layers exchange, and errors. Standard library only; every layer may import them."""

"""Values of pickles: tensors, arrays, modules, and the state dicts among them."""

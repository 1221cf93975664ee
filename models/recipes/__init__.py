"""Programs that trained the bundled models: they read the data and write the model folders."""

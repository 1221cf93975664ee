"""config.json: one class for each architecture, read strictly."""

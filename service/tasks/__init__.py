"""Tasks: next-word prediction, translation and forecasting on top of the networks."""

"""From rows of numbers in their own units to the inputs of a forecaster, and back."""

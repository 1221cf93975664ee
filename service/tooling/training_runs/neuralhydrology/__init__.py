"""Run folders of NeuralHydrology."""

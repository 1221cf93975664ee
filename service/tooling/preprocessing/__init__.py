"""Vocabularies, scaling and labels that a training keeps beside the weights, read from files of many kinds."""

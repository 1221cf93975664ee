"""Vocabularies: read from values and text files, fitted to the rows of a network, written as tokenizers."""

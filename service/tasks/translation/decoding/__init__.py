"""Decoding of translations: the beam search and the decoder's batches."""

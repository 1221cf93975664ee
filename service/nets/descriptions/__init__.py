"""Descriptions of networks for people: their layers in order, made from their configurations."""

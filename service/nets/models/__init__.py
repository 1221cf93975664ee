"""Networks, one module for each architecture."""

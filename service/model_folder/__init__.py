"""Model folders: read strictly, weights checked, golden vectors replayed."""

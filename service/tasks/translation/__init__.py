"""Translation: translations of whole texts, scores, and sessions for interactive translation."""

"""Translation: whole texts, scores, and sessions that follow a translator."""

"""Sessions that earlier commits wrote, kept as files, and the proof that this one goes on with them."""

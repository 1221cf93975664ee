"""Sessions that earlier releases wrote, kept as files, and the proof that this one goes on with them."""

"""The configuration that `pack` writes: proposed, stated, asked for, or proven by golden vectors."""

"""What a checkpoint holds, and the config.json that it looks like."""

"""WebSockets of sessions: their frames, and the streams of steps that these make."""

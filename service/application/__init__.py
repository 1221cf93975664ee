"""Use cases: predictions, sessions, model versions, admission. `ports` lists what they need from outside."""

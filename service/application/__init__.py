"""Use cases: predictions, sessions, order, exactly once, admission. Knows its neighbours only as `ports`."""

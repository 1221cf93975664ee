"""Use cases across tenants: their sessions, for administrators, and what each of them uses."""

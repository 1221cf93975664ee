"""Model folders checked as a server would, and measured on given data."""

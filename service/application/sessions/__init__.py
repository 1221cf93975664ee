"""Sessions: creation, steps applied exactly once, forks, and transfer of states."""

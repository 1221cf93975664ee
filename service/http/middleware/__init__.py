"""What every request passes before its route: request id, admission, authentication, deadlines, disconnects."""

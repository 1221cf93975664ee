"""API keys and certificates: values of what their files hold."""

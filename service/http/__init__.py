"""The HTTP side: parses, calls the application, shapes the answer. One module per kind of resource."""

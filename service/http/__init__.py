"""The HTTP interface: middleware, routes and schemas over the application's use cases."""

"""The image: how it is built, and a smoke test of it, which `make image-test` runs."""

"""Benchmarks; each program prints its figures."""

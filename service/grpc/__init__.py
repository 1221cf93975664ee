"""gRPC: the Open Inference Protocol with its streams, and the standard services for health and reflection."""

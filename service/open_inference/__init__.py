"""The Open Inference Protocol, whatever carries it: metadata, statistics, parameters and times of inferences."""

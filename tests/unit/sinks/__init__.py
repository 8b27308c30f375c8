"""Encoders and the pure parts of the sinks."""

"""What a commissioning engineer asks of a line: scan, probe, capture, commission; on a running gateway or without."""

"""Intervals: what each meter counted in a closed period, how complete that is, and why something is missing. Pure."""

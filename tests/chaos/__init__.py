"""Outages and kills at random, with real processes: what must hold whatever happens, held against what was stored everywhere."""

"""Metergate: an edge gateway for energy, water and carbon meters."""

__version__ = "0.1.0"

"""Inspections on site (现场检查): a sample drawn by anyone again, what was found at each instrument, findings and their closure."""

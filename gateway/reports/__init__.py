"""Reports of the fitting rates: forms, pages and diagrams."""

"""Fitting rates (配备率): what a ruleset demands of an inventory, what is there, and what its data prove. Pure."""

"""The regulators' feed: signed batches in one chain, and what checks them without trusting the gateway."""

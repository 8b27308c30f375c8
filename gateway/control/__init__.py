"""The local socket and what may be asked through it while the gateway runs."""

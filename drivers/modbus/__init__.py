"""Modbus: a read-only client of our own (why: docs/decisions)."""

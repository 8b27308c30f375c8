"""The durable log of samples: SQLite, one row a commit group; contract: docs/specs/journal.md."""

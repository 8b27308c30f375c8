"""The history: intervals, events, configurations, manual readings and the feed's outbox, kept for months in `history.db`."""

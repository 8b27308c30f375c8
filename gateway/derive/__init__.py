"""From the journal to intervals, summaries and signed messages: the task that derives, and its parts."""

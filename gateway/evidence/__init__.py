"""What the instruments delivered, gathered from the history, and what rests on them."""

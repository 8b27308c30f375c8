"""One owner per link: polls on the wall grid, trials of meters, errands, and the way of a sample into the journal."""

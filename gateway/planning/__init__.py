"""What a site asks of its links, reckoned before anything is started."""

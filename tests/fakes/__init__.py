"""Stand-ins for servers, and frames to send to them."""

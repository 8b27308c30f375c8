"""Protocol drivers: how bytes are fetched from meters."""

"""Half-duplex lines: one owner, one request at a time, lawful silence; the protocols on them know no port."""

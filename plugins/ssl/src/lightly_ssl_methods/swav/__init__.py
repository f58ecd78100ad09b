"""SwAV, without and with a queue."""

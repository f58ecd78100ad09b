"""From what the user calls the data to batches in memory: sources, decoding, order, loading."""

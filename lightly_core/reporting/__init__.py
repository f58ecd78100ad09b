"""The report of a run: one HTML file without requests to the network."""

"""Shards of WebDataset as a data source of lightly-core."""

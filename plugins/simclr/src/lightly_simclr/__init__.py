"""SimCLR for lightly-core."""

"""SimCLR and its relatives for lightly-core: an image is found among many others."""

"""DINO and the methods that grew out of it, for lightly-core."""

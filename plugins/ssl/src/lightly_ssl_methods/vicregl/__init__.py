"""VICRegL."""

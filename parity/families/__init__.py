"""The comparisons, one file a family."""

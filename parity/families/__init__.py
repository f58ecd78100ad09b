"""The comparisons, one file per family."""

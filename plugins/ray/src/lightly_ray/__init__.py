"""Ray as a launcher of lightly-core."""

"""W-MSE."""

"""DenseCL."""

"""What runs beside training, one subject a file."""

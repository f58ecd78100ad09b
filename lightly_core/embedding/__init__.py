"""Features of images, written to a file that other tools read."""

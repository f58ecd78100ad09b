"""TiCo."""

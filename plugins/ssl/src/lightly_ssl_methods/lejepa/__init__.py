"""LeJEPA."""

"""DCL and DCLW."""

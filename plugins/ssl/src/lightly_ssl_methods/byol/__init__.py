"""BYOL: predict what a slow copy of the network makes of another view."""

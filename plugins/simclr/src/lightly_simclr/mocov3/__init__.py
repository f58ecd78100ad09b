"""MoCo v3."""

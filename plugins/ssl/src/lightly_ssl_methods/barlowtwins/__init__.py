"""Barlow Twins."""

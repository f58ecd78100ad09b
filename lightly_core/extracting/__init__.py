"""Frames of videos, written as images to a folder."""

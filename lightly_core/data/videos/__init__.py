"""Frames of videos: which files are videos, which frames are used, how they are decoded."""

"""MMCR."""

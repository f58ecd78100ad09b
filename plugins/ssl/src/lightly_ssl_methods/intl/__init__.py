"""INTL."""

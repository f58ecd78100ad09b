"""SMoG."""

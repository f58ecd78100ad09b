"""Programs that measure one thing each. The last line that they print is ``{"value": number}``."""

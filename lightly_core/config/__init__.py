"""Settings: option classes, reading, checking and resolving them. No torch here."""

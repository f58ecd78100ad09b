"""Option classes: the settings of every command and method, their checks and help texts."""

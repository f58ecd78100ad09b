"""The command `lightly`. Nothing here imports torch until a run begins."""

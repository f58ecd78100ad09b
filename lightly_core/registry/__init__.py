"""Lists the runs below a folder. It reads their files only, so it needs no server."""

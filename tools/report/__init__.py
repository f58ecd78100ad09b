"""Opens reports in a browser and checks what a user sees."""

"""`lightly doctor`: what is installed, what the machine has, and how fast images are read."""

"""The setting `profile`: what a step of a run cost, and what to change first."""

"""What a run will do, printed by a dry run and at the start of a run."""

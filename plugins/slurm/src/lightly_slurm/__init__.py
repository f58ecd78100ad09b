"""SLURM as a launcher of lightly-core."""

"""Files with weights: what a run writes, and what it starts from."""

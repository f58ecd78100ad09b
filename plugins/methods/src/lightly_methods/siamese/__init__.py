"""Methods that predict one view from another without negatives: BYOL, SimSiam, FastSiam, ReSA."""

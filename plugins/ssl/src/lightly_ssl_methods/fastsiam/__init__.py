"""FastSiam: SimSiam with several views, whose mean is a steadier target."""

"""Methods with negatives: SimCLR, DCL, MoCo, NNCLR, DenseCL."""

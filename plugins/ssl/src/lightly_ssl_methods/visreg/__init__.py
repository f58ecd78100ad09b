"""VISReg."""

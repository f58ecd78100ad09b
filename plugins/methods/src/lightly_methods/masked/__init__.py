"""Methods that predict hidden patches: MAE, SimMIM, MSN, PMSN, I-JEPA, CAPI."""

"""Methods that spread and decorrelate the embeddings of a batch: VICReg and others."""

"""MLflow as a logger of lightly-core."""

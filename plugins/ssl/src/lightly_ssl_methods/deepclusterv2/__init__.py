"""DeepCluster-v2."""

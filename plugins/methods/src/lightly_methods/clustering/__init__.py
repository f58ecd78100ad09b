"""Methods that assign views to clusters: SwAV, SMoG, DeepCluster-v2."""

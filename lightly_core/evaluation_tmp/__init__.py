"""Does a backbone get better: features, nearest neighbours, measures of collapse."""

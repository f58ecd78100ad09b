"""What a network is worth: features, nearest neighbours, classifiers, measures of collapse."""

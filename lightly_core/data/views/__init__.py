"""Views of an image: geometry in the worker, colours and normalisation on the device."""

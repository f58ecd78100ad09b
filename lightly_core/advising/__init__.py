"""`lightly advise`: method, size, batch and epochs for some images, from measured short runs."""

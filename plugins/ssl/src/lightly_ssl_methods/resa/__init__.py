"""ReSA: images that the backbone finds alike are to have alike projections."""

"""Building blocks for method authors; they need nothing but torch, and numpy for masks."""

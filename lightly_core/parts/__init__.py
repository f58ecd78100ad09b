"""Building blocks for method authors. They depend on torch only, and on numpy for masks."""

"""`lightly export`: a finished network in the formats of other tools."""

"""SimSiam: two views predict each other; a stop-gradient keeps them from collapsing."""

"""Known shifts of aligned faces, and the random numbers that belong to a face. No torch."""

"""Whether a data set is whole and leaks nothing, and what it looks like. No torch."""

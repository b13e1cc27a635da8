"""Data sets: the reader protocol, specs, the registry, and readers of folders and tables. No torch."""

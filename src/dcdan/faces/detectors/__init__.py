"""Face detectors: their protocol, one file per detector, and the registry of their names."""

"""Face detectors: their protocol, one a file, and the registry that names them."""

"""Data sets to packs: one reader a file, the pack format, and the builder between them. Nothing here needs torch."""

"""Packs: aligned faces of a data set in one memory-mapped array with a table. No torch."""

"""Benchmarks: plans of methods, data sets and seeds, and the cells that come of them."""

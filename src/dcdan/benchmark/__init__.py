"""Benchmarks: methods on pairs of data sets with several trunks and seeds, as tables, tests and pictures."""

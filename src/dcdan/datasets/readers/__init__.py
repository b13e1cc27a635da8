"""Readers of published data sets, one file each.

The docstring of each module has the same parts: the supported layouts, codes and their expressions, splits and counts,
the licence, and what is unverified because no copy of the release was available.
"""

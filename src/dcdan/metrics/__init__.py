"""Scores, intervals, significance and calibration as functions of arrays. NumPy and SciPy only."""

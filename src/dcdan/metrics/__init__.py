"""Scores, intervals, significance tests and calibration: pure functions of arrays, with NumPy and SciPy only."""

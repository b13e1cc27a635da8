"""Audits of data sets: counts against the published ones, broken and duplicate images, contact sheets. No torch."""

"""Adaptation methods, one per file, in one registry; ``dcdan.py`` is the method of the paper."""

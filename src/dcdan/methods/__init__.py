"""Adaptation methods, one a file, in one registry; ``dcdan.py`` is the paper's."""

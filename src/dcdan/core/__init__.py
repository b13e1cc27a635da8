"""Shared foundations: errors, bounded reading, atomic writing, locks, signals and the console."""

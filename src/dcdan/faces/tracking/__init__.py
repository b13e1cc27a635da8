"""Tracking of people from frame to frame: appearance, assignment and tracks."""

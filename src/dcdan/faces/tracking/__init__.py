"""Who is who from frame to frame: appearance, assignment and tracks."""

"""How two sets of faces differ, without labels."""

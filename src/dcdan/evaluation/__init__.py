"""How good a recogniser is on labelled faces, and the report that says so."""

"""Pages for people: the report of a run, the demonstration, tables of text."""

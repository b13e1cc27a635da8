"""How good a recogniser is: metrics, intervals, confusion matrices, and the report that puts them together."""

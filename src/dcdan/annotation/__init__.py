"""Videos as annotations: segments of equal expression for each person, in the formats of annotation programs."""

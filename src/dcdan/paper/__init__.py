"""The paper's figures: as printed, recomputed, held against each other and against what was measured here."""

"""Model selection without target labels: signals, scores, kept epochs and their evaluation."""

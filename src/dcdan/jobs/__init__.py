"""Long work: outputs that resume after a kill, worker processes, and Ray. No torch."""

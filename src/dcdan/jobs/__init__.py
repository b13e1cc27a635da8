"""Long-running work: resumable outputs, worker processes and Ray clusters. No torch."""

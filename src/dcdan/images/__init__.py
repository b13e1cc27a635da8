"""Pictures, videos and URLs: found, read within bounds and decoded; every fault is a status. No torch."""

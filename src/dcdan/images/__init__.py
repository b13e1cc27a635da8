"""Input: find, read and decode images, videos and URLs within bounds; every fault becomes a status. No torch."""

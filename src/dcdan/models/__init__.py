"""The network, one part per file: trunk, activation, attention, regions, semantic heads, discriminators, selection."""

"""The network, one part a file: trunk, activation, attention, regions, semantic heads, discriminators, selection."""

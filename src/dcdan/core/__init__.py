"""What every room stands on: errors, bounded reading, whole files, locks, signals, the console."""

"""The one training loop and what it needs: settings, schedules, teacher, checkpoints, log, label-free signals."""

"""The training loop and its parts: settings, schedules, teacher, checkpoints, metrics log and model selection."""

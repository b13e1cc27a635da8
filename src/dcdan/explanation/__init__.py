"""Why a face got its expression: facial actions in words, and where the network looks."""

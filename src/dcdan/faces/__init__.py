"""Pictures -> aligned faces: safe decoding, detection with five landmarks, alignment to one template; no torch."""

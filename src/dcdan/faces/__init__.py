"""From images to aligned faces: detection with five landmarks, alignment to one template, quality. No torch."""

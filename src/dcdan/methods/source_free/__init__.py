"""Methods that adapt a trained network to unlabelled faces alone, without the faces that it was trained on."""

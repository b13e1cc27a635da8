"""The evaluation of a recogniser on labelled faces, and its report."""

"""Adaptation without a source set: a folder of faces in, a run folder with a verdict out; no torch.

``extraction`` answers of the start model on all faces, ``groups`` whose face it is, ``decision`` what is corrected
without labels, ``sheet`` the forty faces to label, ``labelling`` what the labels lead to, ``folder`` the run folder,
``ask`` labels from the terminal, ``job`` the whole.
"""

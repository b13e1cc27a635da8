"""Parametric synthetic faces for the demo, the tests and first experiments; no download and no torch.

A face is a person (`identity`) whose facial action units (`action_units`) move control points (`features`). The points
define outlines and folds, which are projected in a pose (`geometry`) and painted (`drawing`) in one of two domains
(`domains`): `studio` is grey, frontal, evenly lit and sharp; `street` is coloured, lit from the side, rotated, blurred,
partly occluded and compressed. The domains differ in style only: the same units move the same points in both.
"""

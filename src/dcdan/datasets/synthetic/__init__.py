"""Faces drawn by parameters: data for the demo, the tests and first experiments, with no download and no torch.

A face is a person (`identity`) whose facial action units (`action_units`) move control points (`features`). They make
outlines and folds, which a pose projects (`geometry`) and a painter fills (`drawing`) in one of two domains
(`domains`): `studio` is grey, frontal, evenly lit and sharp; `street` is coloured, lit from the side, turned, blurred,
partly covered and compressed. The domains differ in style: the same units move the same points in both.
"""

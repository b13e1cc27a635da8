"""Faces drawn by parameters: data for the demo, the tests and first experiments, with no download and no torch.

A face is a person (:mod:`identity`) whose facial action units (:mod:`action_units`) move control points
(:mod:`geometry`), which a pose projects (:mod:`pose`) and a painter fills (:mod:`drawing`) in one of two domains
(:mod:`domains`): `studio` is grey, frontal, even and sharp; `street` is coloured, lit from the side, turned, blurred,
partly covered and compressed. The difference is of style: the same units move the same points in both.
"""

"""Adaptation without a source set: pure functions on a model's log-probabilities, in numpy alone.

``shares`` class shares of the target, ``output`` corrections of the output, ``labels`` what forty labelled faces say,
``estimators`` accuracy without labels, ``verdict`` whether to use a corrected model, ``memory`` what a model keeps of
its source faces, ``baselines`` T3A and LAME.
"""

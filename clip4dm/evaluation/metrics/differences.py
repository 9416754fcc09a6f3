"""Differences of two figures on the same samples, with intervals in which both see the same resamples of images."""

from __future__ import annotations

import numpy as np

from clip4dm.evaluation.metrics import metrics
from clip4dm.evaluation.metrics.intervals import Bootstrap, weighted_average_precision
from clip4dm.evaluation.metrics.metrics import Column, Figure


def location_difference(ours: Column, theirs: Column, bootstrap: Bootstrap | None = None) -> Figure:
    """Location accuracy of one column of hits less another's, over the rows where neither is None; paired by image.

    >>> location_difference([True, True, None, False], [True, False, True, False]).value
    0.3333333333333333
    """
    (ours, theirs), bootstrap = metrics._columns(bootstrap, ours=ours, theirs=theirs)
    return metrics._ratio(ours - theirs, np.ones(len(ours)), bootstrap, "no misaligned captions")


def average_precision_difference(
    labels: Column, ours: Column, theirs: Column, bootstrap: Bootstrap | None = None
) -> Figure:
    """Average precision of one column of scores less another's, on the same labels; paired by image.

    >>> average_precision_difference([True, False, True], [0.9, 0.8, 0.7], [0.9, 0.1, 0.7]).value
    -0.16666666666666674
    """
    (labels, ours, theirs), bootstrap = metrics._columns(bootstrap, labels=labels, ours=ours, theirs=theirs)
    found, reference = metrics.average_precision(labels, ours), metrics.average_precision(labels, theirs)
    if found.value is None or reference.value is None:
        return found
    a, b = (weighted_average_precision(labels.astype(bool), scores) for scores in (ours, theirs))
    value = found.value - reference.value
    return metrics._figure(value, len(labels), bootstrap, lambda by: by.values(a) - by.values(b), "one class only")

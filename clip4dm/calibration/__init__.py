"""Thresholds with a guarantee: from words that people labelled to an epsilon whose risk is bounded, and a file of it.

    names.py        what may be asked for
    bounds.py       what a mean over images says of a risk: the p-value of Hoeffding and Bentkus
    risks.py        labelled words, and what a threshold costs an image: fdr, fpr, recall
    thresholds.py   the epsilon: fixed-sequence testing, or conformal risk control
    curve.py        how likely a word is wrong, by its attribution
    study.py        the whole: a part of the images decides, the others show what came of it
    suggestions.py  from which gain another word is suggested: the same, of suggestions
    stored.py       the JSON file, read strictly; whose attributions it is for
    fields.py       its parts, as fields of dataclasses
    shelf.py        the files that come along and the user's own: which of them fits

Nothing of the house but files, scores and errors is used here.
"""

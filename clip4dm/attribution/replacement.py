"""Occlusion by a neutral word: what the cosine loses when "the" stands where the word stood.

    R[j] = s(caption) - s(caption with the neutral word in place of token j's word)

A word that is merely left out takes its place in the sentence with it: "a dog on the" is no caption, and the cosine may
fall for that alone. Here the sentence stays one. All tokens of the word make way for those of the neutral word, so that
what follows may move, as it would had the tokenizer read the new caption. Passes as for occlusion.py: words + 1.
"""

from __future__ import annotations

from dataclasses import replace

from clip4dm.attribution.coalitions import Plan
from clip4dm.attribution.occlusion import left_out
from clip4dm.captions.words import EncodedCaption
from clip4dm.errors import InputError


def replaced(caption: EncodedCaption) -> Plan:
    """The whole caption, and the caption with its neutral word in place of each of its words.

    caption: with `neutral`, as `CLIP4DM.encode_captions` makes them. Errors: InputError where it has none.

    >>> ids, unit_of = (18, 5, 6, 19), (-1, 0, 1, -1)
    >>> caption = EncodedCaption("red cup", ids, unit_of, units=(), truncated=False, padded=False, neutral=(7,))
    >>> plan = replaced(caption)
    >>> [sorted(kept) for kept in plan.coalitions], plan.instead
    ([[0, 1], [1], [0]], (7,))
    """
    if not caption.neutral:
        raise InputError(
            f"{caption.caption!r:.60} was encoded without a neutral word; encode it with CLIP4DM.encode_captions, or "
            "with encode_caption(tokenizer, caption, template, neutral_ids(tokenizer))"
        )
    return replace(left_out(caption), instead=caption.neutral)

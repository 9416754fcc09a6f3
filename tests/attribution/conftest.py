"""Every kind of text tower with the same captions and image features."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from text_towers import CAPTIONS, TOWERS, build

from clip4dm.captions.words import encode_caption, neutral_ids


@pytest.fixture(scope="module", params=TOWERS)
def tower_case(request, tokenizer):
    model = build(request.param)
    mine = copy.copy(tokenizer)
    mine.context_length = TOWERS[request.param].get("context_length", 77)
    features = F.normalize(torch.randn(len(CAPTIONS), 24, generator=torch.Generator().manual_seed(5)), dim=-1)
    neutral = neutral_ids(mine)
    encoded = [encode_caption(mine, caption, "A photo depicts ", neutral) for caption in CAPTIONS]
    return request.param, model, mine, encoded, features

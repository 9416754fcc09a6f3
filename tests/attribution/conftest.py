"""Every kind of text tower with the same captions and image features."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from text_towers import CAPTIONS, TOWERS, build

from clip4dm.captions.words import encode_caption


@pytest.fixture(scope="module", params=TOWERS)
def tower_case(request, tokenizer):
    model = build(request.param)
    mine = copy.copy(tokenizer)
    mine.context_length = TOWERS[request.param].get("context_length", 77)
    features = F.normalize(torch.randn(len(CAPTIONS), 24, generator=torch.Generator().manual_seed(5)), dim=-1)
    return request.param, model, mine, [encode_caption(mine, c, "A photo depicts ") for c in CAPTIONS], features

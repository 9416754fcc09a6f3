"""Tiny random entailment models of Hugging Face's classes, with a tokenizer of a few words."""

from __future__ import annotations

from pathlib import Path

WORDS = "a the dog cat car is not red blue on , . < / s >".split()


def make_tokenizer(positions: int):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=positions,
        model_input_names=["input_ids", "attention_mask"],
    )


def make_model(kind: str, labels: list[str]):
    import torch
    from transformers import BartConfig, BartForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(0)
    shared = {
        "vocab_size": 4 + len(WORDS),
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    if kind == "bart":
        return BartForSequenceClassification(
            BartConfig(
                d_model=16,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=32,
                decoder_ffn_dim=32,
                max_position_embeddings=32,
                init_std=1.0,
                **shared,
            )
        )
    return RobertaForSequenceClassification(
        RobertaConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=34,
            initializer_range=1.0,
            **shared,
        )
    )


def save_entailment_model(
    folder: Path, kind: str = "bart", labels=("contradiction", "neutral", "entailment"), positions: int = 32
) -> Path:
    """A hub folder of the model and its tokenizer. kind: bart or roberta."""
    make_model(kind, list(labels)).save_pretrained(folder)
    make_tokenizer(positions).save_pretrained(folder)
    return folder

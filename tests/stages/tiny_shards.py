"""Shards of made-up sentences, and masked-language models that know their tokenizer."""

import hashlib
import json

import numpy as np
import torch
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM

from stages import tiny
from subarch.arch.pretrained import quiet_transformers
from subarch.tasks.corpus.shards import tokenizer_sha256

TEACHER_SIZES = {**tiny.SIZES, "num_hidden_layers": 3}


def blocks_of(tokenizer, texts, block_size):
    """(N, block_size) full blocks of the texts one after the other, each ended by the separator."""
    stream = []
    for text in texts:
        stream += [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.sep_token_id]
    inside = block_size - 2
    rows = [
        [tokenizer.cls_token_id, *stream[start : start + inside], tokenizer.sep_token_id]
        for start in range(0, len(stream) - inside, inside)
    ]
    return np.asarray(rows, dtype=np.uint16)


def write(folder, family="bert", *, block_size=16, counts=(160, 40, 40), seed=0):
    """A folder of shards with so many sentences in train, validation and test."""
    tokenizer = tiny.tokenizer_of(family)
    folder.mkdir(parents=True)
    splits = {}
    for number, (name, count) in enumerate(zip(("train", "validation", "test"), counts, strict=True)):
        texts = tiny.sentences(count, seed=seed + number)[0] if count else []
        blocks = blocks_of(tokenizer, texts, block_size) if texts else np.zeros((0, block_size), dtype=np.uint16)
        file = folder / f"{name}-00000.bin"
        blocks.tofile(file)
        entry = {"name": file.name, "blocks": len(blocks), "sha256": hashlib.sha256(blocks.tobytes()).hexdigest()}
        splits[name] = {"blocks": len(blocks), "tokens": blocks.size, "files": [entry]}
    with quiet_transformers():
        tokenizer.save_pretrained(folder / "tokenizer")
    manifest = {
        "version": 1,
        "tokenizer_sha256": tokenizer_sha256(tokenizer),
        "vocab_size": len(tokenizer),
        "block_size": block_size,
        "pad_token_id": tokenizer.pad_token_id,
        "mask_token_id": tokenizer.mask_token_id,
        "special_token_ids": sorted(tokenizer.all_special_ids),
        "dtype": "uint16",
        "splits": splits,
    }
    (folder / "shards.json").write_text(json.dumps(manifest))
    return folder


def masked_lm(folder, family="bert", *, seed=0, **changes):
    """A folder with a masked-language model of random weights."""
    tokenizer = tiny.tokenizer_of(family)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "cls", "sep", "bos", "eos")}
    options = {"local_attention": 8, "global_attn_every_n_layers": 2} if family == "modernbert" else {}
    config = CONFIG_MAPPING[family](vocab_size=len(tokenizer), **{**TEACHER_SIZES, **ids, **options, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForMaskedLM.from_config(config)
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder

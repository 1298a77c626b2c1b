"""Tiny teachers, tiny data and the settings that make a whole compression take seconds."""

import csv
import functools
import json
import string

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from subarch.arch.pretrained import quiet_transformers

GOOD = ("superb", "lovely", "bright", "clever", "moving", "funny", "tender", "fresh", "grand", "sharp")
BAD = ("dull", "stale", "clumsy", "noisy", "boring", "weak", "hollow", "messy", "bland", "awful")
PLAIN = ("film", "plot", "actor", "scene", "story", "music", "ending", "script", "camera", "sound", "the", "a", "this")
PLAIN += (
    "was",
    "is",
    "and",
    "with",
    "very",
    "quite",
    "rather",
    "house",
    "river",
    "garden",
    "letter",
    "window",
    "summer",
)
PLAIN += ("winter", "evening", "market", "teacher")
SIZES = {
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 64,
    "max_position_embeddings": 48,
}
FAST = {
    "max_length": 24,
    "finetune": {
        "max_steps": 40,
        "evaluations": 2,
        "learning_rate": 2e-3,
        "head_rate": 1.0,  # the whole teacher is noise, not its head alone
        "batch_size": 16,
        "checkpoint_seconds": 0.1,
    },
    "extract": {
        "epsilon": 1,
        "error": "cross-entropy",
        "steps": 4,
        "error_examples": 20,
        "latency": "nominal",  # measured ones would choose another candidate on a busy machine
        "space": {"layers": (1 / 3, 2 / 3, 1.0), "hidden": (0.5,), "intermediate": (0.5,), "min_encoder": 0.01},
        "loop": {"learning_rate": 2e-3, "batch_size": 16},
    },
    "distil": {"max_steps": 40, "evaluations": 3, "learning_rate": 3e-3, "batch_size": 16, "checkpoint_seconds": 0.1},
    "deliver": {"requests": 3, "repeats": 3},
}
"""Settings of `compress`: fixed steps everywhere."""


def sentences(count, seed=0):
    """Texts, and the share of good words among their coloured ones."""
    rng = np.random.default_rng(seed)
    texts, shares = [], []
    for number in range(count):
        good = number % 2
        words = list(rng.choice(PLAIN, size=rng.integers(3, 8)))
        words += list(rng.choice(GOOD if good else BAD, size=2)) + list(rng.choice(GOOD + BAD, size=1))
        shares.append(sum(word in GOOD for word in words[-3:]) / 3)
        texts.append(" ".join(str(word) for word in rng.permutation(words)) + f" {number}")
    return texts, shares


def write_csv(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def classes(path, count=200, seed=0):
    """A file with the columns text and label: good or bad."""
    texts, shares = sentences(count, seed)
    rows = [(text, "good" if share > 0.5 else "bad") for text, share in zip(texts, shares, strict=True)]
    return write_csv(path, ("text", "label"), rows)


def scores(path, count=200):
    """A file with the columns text and score, from 0 to 5."""
    texts, shares = sentences(count)
    return write_csv(path, ("text", "score"), [(t, f"{5 * s:.2f}") for t, s in zip(texts, shares, strict=True)])


def pairs(path, count=200):
    """A file with the columns sentence1, sentence2 and label: same or other."""
    texts, shares = sentences(count)
    others, theirs = sentences(count, seed=1)
    order = np.random.default_rng(2).permutation(count)
    theirs, others = [theirs[index] for index in order], [others[index] for index in order]
    rows = [
        (one, two, "same" if (a > 0.5) == (b > 0.5) else "other")
        for one, two, a, b in zip(texts, others, shares, theirs, strict=True)
    ]
    return write_csv(path, ("sentence1", "sentence2", "label"), rows)


@functools.cache
def wordpiece():
    """A WordPiece tokenizer of about 200 tokens, as BERT has."""
    alphabet = string.ascii_lowercase + string.digits
    tokens = ["[PAD]", *(f"[unused{n}]" for n in range(20)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", *alphabet]
    tokens += [f"##{letter}" for letter in alphabet] + sorted({*GOOD, *BAD, *PLAIN} - set(alphabet))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=48, **names)


@functools.cache
def byte_level(*special):
    """A byte-level BPE tokenizer, as RoBERTa and ModernBERT have, with these special tokens: first, pad, last, …"""
    backend = Tokenizer(models.BPE(unk_token=None))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(sentences(300, seed=9)[0], trainer)
    first, pad, last, unknown, mask = special
    backend.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(name, backend.token_to_id(name)) for name in (first, last)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=48,
        cls_token=first,
        bos_token=first,
        pad_token=pad,
        sep_token=last,
        eos_token=last,
        unk_token=unknown,
        mask_token=mask,
        model_input_names=["input_ids", "attention_mask"],
    )


def settings(values, prefix=""):
    """Nested settings as the words of `--set`."""
    words = []
    for name, value in values.items():
        if isinstance(value, dict):
            words += settings(value, f"{prefix}{name}.")
        else:
            words += ["--set", f"{prefix}{name}={json.dumps(value)}"]
    return words


def tokenizer_of(family):
    if family == "bert":
        return wordpiece()
    if family == "roberta":
        return byte_level("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    return byte_level("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]")


def teacher(folder, family="bert", *, labels=None, seed=0, **changes):
    """A teacher's folder: an encoder alone, or a classifier with `labels`; its weights are random."""
    tokenizer = tokenizer_of(family)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "cls", "sep", "bos", "eos")}
    options = {"local_attention": 8, "global_attn_every_n_layers": 2} if family == "modernbert" else {}
    names = (
        {}
        if labels is None
        else {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    )
    config = CONFIG_MAPPING[family](vocab_size=len(tokenizer), **{**SIZES, **ids, **options, **names, **changes})
    kind = AutoModel if labels is None else AutoModelForSequenceClassification
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(4.0)  # noise of BERT's own size would answer every text alike
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder

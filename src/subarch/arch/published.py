"""Encoders that papers and model cards know by name, with the number of parameters published for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from subarch.arch.architecture import Architecture
from subarch.arch.costs import Head, parameters


@dataclass(frozen=True, kw_only=True)
class Published:
    """A named architecture and what was published about its size."""

    architecture: Architecture
    head: Head
    """What the published number counts after the encoder."""
    parameters: int | None
    """As published, so rounded; None where nothing was."""
    source: str
    note: str = ""


def bort_architecture(sizes: tuple[int, int, int, int]) -> Architecture:
    """An encoder of Bort's search space: RoBERTa's vocabulary, 512 positions, no token types.

    Args:
        sizes: The paper's <D, A, H, I>: layers, heads, hidden and intermediate size.
    """
    layers, heads, hidden, intermediate = sizes
    return Architecture(
        family="bert",
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=hidden,
        intermediate_size=intermediate,
        vocab_size=50265,
        max_position_embeddings=512,
        type_vocab_size=0,
    )


def _bert(sizes: tuple[int, int, int, int]) -> Architecture:
    return bort_architecture(sizes).replace(vocab_size=30522, type_vocab_size=2)


def _roberta(sizes: tuple[int, int, int, int]) -> Architecture:
    return bort_architecture(sizes).replace(family="roberta", max_position_embeddings=514, type_vocab_size=1)


def _modernbert(sizes: tuple[int, int, int, int], max_length: int) -> Architecture:
    return bort_architecture(sizes).replace(
        family="modernbert", vocab_size=50368, max_position_embeddings=max_length, local_attention=128
    )


_BERT_PAPER = "Devlin et al. 2019, arXiv:1810.04805"
_ROBERTA_PAPER = "Liu et al. 2019, arXiv:1907.11692"
_ELECTRA_PAPER = "Clark et al. 2020, arXiv:2003.10555"
_ETTIN_PAPER = "Weller et al. 2025, arXiv:2507.11412"

PUBLISHED: Mapping[str, Published] = {
    "bort": Published(
        architecture=bort_architecture((4, 8, 1024, 768)),
        head="none",
        parameters=56_140_000,
        source="de Wynter and Perry 2020, arXiv:2010.10499",
        note=(
            "the paper counts with hidden_size and intermediate_size swapped (768 and 1024); "
            "the released model has hidden_size 1024 and intermediate_size 768"
        ),
    ),
    "bert-base": Published(
        architecture=_bert((12, 12, 768, 3072)), head="pooler", parameters=110_000_000, source=_BERT_PAPER
    ),
    "bert-large": Published(
        architecture=_bert((24, 16, 1024, 4096)), head="pooler", parameters=340_000_000, source=_BERT_PAPER
    ),
    "roberta-base": Published(
        architecture=_roberta((12, 12, 768, 3072)),
        head="pooler",
        parameters=125_000_000,
        source=_ROBERTA_PAPER,
    ),
    "roberta-large": Published(
        architecture=_roberta((24, 16, 1024, 4096)),
        head="pooler",
        parameters=355_000_000,
        source=_ROBERTA_PAPER,
    ),
    "distilbert-base": Published(
        architecture=_bert((6, 12, 768, 3072)).replace(family="distilbert", type_vocab_size=0),
        head="none",
        parameters=66_000_000,
        source="Sanh et al. 2019, arXiv:1910.01108",
    ),
    "electra-small": Published(
        architecture=_bert((12, 4, 256, 1024)).replace(family="electra", embedding_size=128),
        head="none",
        parameters=14_000_000,
        source=_ELECTRA_PAPER,
    ),
    "electra-base": Published(
        architecture=_bert((12, 12, 768, 3072)).replace(family="electra"),
        head="none",
        parameters=110_000_000,
        source=_ELECTRA_PAPER,
    ),
    "minilm-l6-h384": Published(
        architecture=_bert((6, 12, 384, 1536)),
        head="pooler",
        parameters=22_700_000,
        source="model card of sentence-transformers/all-MiniLM-L6-v2",
    ),
    "tinybert-4": Published(
        architecture=_bert((4, 12, 312, 1200)),
        head="pooler",
        parameters=14_500_000,
        source="Jiao et al. 2020, arXiv:1909.10351",
    ),
    "modernbert-base": Published(
        architecture=_modernbert((22, 12, 768, 1152), 8192),
        head="none",
        parameters=149_000_000,
        source="Warner et al. 2024, arXiv:2412.13663",
    ),
    "ettin-17m": Published(
        architecture=_modernbert((7, 4, 256, 384), 7999),
        head="none",
        parameters=17_000_000,
        source=_ETTIN_PAPER,
    ),
    "ettin-32m": Published(
        architecture=_modernbert((10, 6, 384, 576), 7999),
        head="none",
        parameters=32_000_000,
        source=_ETTIN_PAPER,
    ),
}


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of Table 1 of the Bort paper."""

    name: str
    architecture: Architecture
    """As released or as the authors corrected it; how many heads A2 and A3 have was not published."""
    parameters: int
    """As published."""
    seconds: float
    """One forward pass on a CPU."""
    w: float | None
    """W-coefficient; None for the maximum point."""


def counted_as_published(architecture: Architecture) -> int:
    """Parameters as Table 1 counts those of A1 to A3: hidden and intermediate size swapped, and 1024·H more.

    The last term reproduces the published digits and has no reading that we know: use it for Table 1 only.
    """
    swapped = architecture.replace(
        num_attention_heads=1,
        hidden_size=architecture.intermediate_size,
        intermediate_size=architecture.hidden_size,
        type_vocab_size=1,
    )
    return parameters(swapped, "pooler").total + 1024 * swapped.hidden_size


TABLE_1: tuple[TableRow, ...] = (
    TableRow(
        name="A1 (Bort)", architecture=bort_architecture((4, 8, 1024, 768)), parameters=56_140_000, seconds=0.308, w=8.6
    ),
    TableRow(name="A2", architecture=bort_architecture((4, 8, 1024, 512)), parameters=35_200_000, seconds=0.314, w=7.5),
    TableRow(
        name="A3", architecture=bort_architecture((4, 16, 1024, 512)), parameters=35_200_000, seconds=0.318, w=6.6
    ),
    TableRow(
        name="BERT-base",
        architecture=bort_architecture((12, 12, 768, 3072)),
        parameters=110_000_000,
        seconds=2.416,
        w=0.7,
    ),
    TableRow(
        name="RoBERTa-large",
        architecture=_roberta((24, 16, 1024, 4096)),
        parameters=355_000_000,
        seconds=6.170,
        w=None,
    ),
)
"""Table 1 of arXiv 2010.10499, real sizes beside published numbers; the last row is the maximum point T."""

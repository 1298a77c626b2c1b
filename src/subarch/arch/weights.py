"""What the safetensors files of a folder hold, read from their headers, and whether the model has a place for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from subarch.arch.architecture import Architecture
from subarch.arch.configuration import LFS_POINTER, read_object
from subarch.arch.families import Family, axes_of, family_of, layer_of
from subarch.errors import ModelError

WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_FLOATS = ("F64", "F32", "F16", "BF16")
_AGAIN = "download or save the model again"
_LEFT_OVER = re.compile(
    r"(.*\.)?(embeddings\.(position_ids|token_type_ids))|"
    r"(pooler|classifier|pre_classifier|qa_outputs|cls|lm_head|decoder|head|vocab_\w+|generator_\w+|discriminator_\w+)\..+"
)
"""Weights that a model does without: buffers that older versions of `transformers` saved, the pooler, and the heads of
other tasks."""
_ADAPTERS = re.compile(r"lora|adapter|prefix_encoder|ia3|prompt", re.IGNORECASE)


@dataclass(frozen=True)
class Stored:
    """One tensor of a file."""

    shape: tuple[int, ...]
    dtype: str
    """As safetensors calls it, such as F32."""


def stored_weights(path: Path) -> dict[str, Stored]:
    """The tensors in a folder's safetensors files by name; no weights are read.

    Raises:
        ModelError: No such files, or unreadable ones.
    """
    found: dict[str, Stored] = {}
    for file in weight_files(path):
        try:
            with file.open("rb") as opened:
                if opened.read(len(LFS_POINTER)) == LFS_POINTER:
                    raise ModelError(f"{file} is a Git LFS pointer, not the weights", "fetch them: git lfs pull")
            with safe_open(file, framework="numpy") as weights:
                for name in weights.keys():  # noqa: SIM118
                    tensor = weights.get_slice(name)
                    found[name] = Stored(tuple(tensor.get_shape()), str(tensor.get_dtype()))
        except (SafetensorError, OSError) as error:
            raise ModelError(f"cannot read {file}: {error}", _AGAIN) from error
    return found


def weight_names(path: Path) -> set[str]:
    """Parameter names in a folder's safetensors files, whose headers are read but no weights.

    Raises:
        ModelError: No such files, or unreadable ones.
    """
    return set(stored_weights(path))


def check_weights(path: Path, architecture: Architecture, labels: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """Make sure that the model which config.json describes has a place for every weight of the files.

    Harmless leftovers are the heads of other tasks, a pooler, and the buffers `position_ids` and `token_type_ids`.

    Args:
        path: The folder.
        architecture: As config.json says.
        labels: Names of the classifier's outputs.
        classes: `architectures` of config.json; empty where it names none.

    Raises:
        ModelError: A weight of another name, shape or kind of number, or a layer too many or too few.
    """
    family, stored = family_of(architecture.family), stored_weights(path)
    _check_prefix(path, family, stored)
    known = {_current(name): tensor for name, tensor in stored.items()}
    classifies = not classes or any(name.endswith("ForSequenceClassification") for name in classes)
    _check_places(path, family, known, classifies)
    layers = {layer_of(family, name) for name in known} - {None}
    if layers != set(range(architecture.num_hidden_layers)):
        raise ModelError(
            f"the weights in {path} have {len(layers)} layers, config.json describes {architecture.num_hidden_layers}",
            "correct the number of layers in config.json, or save the model again",
        )
    sizes = architecture.axis_sizes()
    for name, tensor in known.items():
        if not left_over(family, name):
            wanted = tuple(sizes[str(axis)] for axis in axes_of(family, name))
            _check_tensor(path, name, tensor, wanted)
    head = f"{family.classifier}.weight"
    if classifies and head in known:
        _check_head(path, head, known[head], (len(labels), architecture.hidden_size))
    if (head := "qa_outputs.weight") in known:
        _check_head(path, head, known[head], (2, architecture.hidden_size))


def _check_prefix(path: Path, family: Family, names: Mapping[str, Stored]) -> None:
    table = "embeddings.tok_embeddings.weight" if family.gated else "embeddings.word_embeddings.weight"
    prefixes = {name.removesuffix(table) for name in names if name.endswith(table)}
    for found in sorted(prefixes - {"", f"{family.encoder_prefix}."}):
        # The head lies beside the encoder: without the encoder's own prefix, this one is all names'.
        prefix = found.removesuffix(f"{family.encoder_prefix}.")
        raise ModelError(
            f"the weights in {path} have names that begin with {prefix!r}, expected {family.encoder_prefix}.{table}",
            f"save them under the names without {prefix!r}, or save the inner model with save_pretrained",
        )


def _check_places(path: Path, family: Family, known: Mapping[str, Stored], classifies: bool) -> None:
    """Refuse what is neither a weight of the family nor harmless; of a classifier, another kind of head too."""
    lost = [
        name
        for name in sorted(known)
        if not _has_place(family, name)
        and not (left_over(family, name) and not (classifies and name.startswith("classifier.")))
    ]
    if lost:
        shape = "×".join(map(str, known[lost[0]].shape))
        raise ModelError(
            f"{path} holds {len(lost)} weights that a {family.name} model has no place for, first {lost[0]} ({shape})",
            "merge the adapter into its model (peft: merge_and_unload) and save that"
            if _ADAPTERS.search(lost[0])
            else "choose a model of the plain architecture, or save this one without them if its answers stay the same",
        )


def _check_tensor(path: Path, name: str, tensor: Stored, wanted: tuple[int, ...]) -> None:
    if tensor.dtype not in _FLOATS:
        raise ModelError(
            f"{name} in {path} holds {tensor.dtype} numbers, expected floating-point ones of 16 bits or more",
            "save the model in float32 with transformers; quantised weights cannot be read",
        )
    if tensor.shape != wanted:
        raise ModelError(f"{name} in {path} has shape {tensor.shape}, config.json describes {wanted}", _AGAIN)


def _check_head(path: Path, name: str, tensor: Stored, wanted: tuple[int, int]) -> None:
    if tensor.shape[:1] != wanted[:1]:
        raise ModelError(
            f"the trained head in {path} has {(*tensor.shape, 0)[0]} outputs ({name}), expected {wanted[0]}",
            "name each output of the head in id2label of config.json, in the order of its training",
        )
    _check_tensor(path, name, tensor, wanted)


def left_over(family: Family, name: str) -> bool:
    """Whether a weight is one of those that a model does without."""
    return _LEFT_OVER.fullmatch(family.in_encoder(name)) is not None


def _has_place(family: Family, name: str) -> bool:
    try:
        axes_of(family, name)
    except ModelError:
        return False
    return True


def _current(name: str) -> str:
    """As `transformers` calls it now."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def weight_files(path: Path) -> list[Path]:
    """The safetensors files of a folder.

    Raises:
        ModelError: There are none, or an index that leads elsewhere.
    """
    if (path / WEIGHTS).is_file():
        return [path / WEIGHTS]
    if (path / _INDEX).is_file():
        shards = read_object(path / _INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise ModelError(f"{path / _INDEX} has no weight_map", _AGAIN)
        for name in shards.values():
            if not isinstance(name, str) or Path(name).name != name or not (path / name).is_file():
                raise ModelError(f"{path / _INDEX} names {name!r}, expected a file in the same folder", _AGAIN)
        return [path / name for name in sorted(set(shards.values()))]
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    reason = f", only {pickles[0]}, a pickle that could run code when read" if pickles else ""
    raise ModelError(
        f"no {WEIGHTS} in {path}{reason}",
        "if you trust it, load the model with transformers elsewhere and save it with save_pretrained",
    )

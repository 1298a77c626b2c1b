"""Cutting the vocabulary of a tokenizer: in a small encoder most parameters are rows of the embedding table.

Everything works on the parsed tokenizer.json, for WordPiece and for BPE. Any text still encodes: single
characters (bytes, in a byte-level BPE) are always kept, so a lost token falls apart into shorter ones. A text
whose tokens are all kept encodes to the same tokens as before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from subarch.arch.families import FAMILIES
from subarch.errors import ConfigError, ModelError
from subarch.storage import read_json, write_json

_TOKEN_ID = "_token_id"
_UNUSED = re.compile(r"\[unused\d+\]")
_WHOLE = "keep the whole vocabulary: --set extract.space.vocabulary=1, of extract itself --set space.vocabulary=1"
_OTHER_VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "added_tokens.json")


def keep_tokens(tokenizer_json: Mapping[str, Any], counts: Mapping[int, int], size: int) -> list[int]:
    """Choose the tokens to keep: their old ids in ascending order, which is the order of the new ones.

    Special and added tokens and single characters are kept in any case, then the counted tokens, most
    frequent first, then the lowest ids, since vocabularies are roughly ordered by frequency.

    Args:
        tokenizer_json: The parsed tokenizer.json.
        counts: Token id -> how often a corpus has it.
        size: Tokens to keep; exceeded only where what is always kept is more.

    Raises:
        ModelError: A kind of tokenizer that cannot be cut.
        ConfigError: A counted id that the tokenizer does not have.
    """
    vocabulary = _vocabulary(tokenizer_json)
    token_of = {index: token for token, index in vocabulary.items()}
    if unknown := [index for index in counts if index not in token_of]:
        raise ConfigError(f"counted token id {unknown[0]}, but the tokenizer has {len(token_of)} tokens")
    needed_by = _needed_by(tokenizer_json["model"], vocabulary)
    kept = _always_kept(tokenizer_json, vocabulary)
    seen = sorted((index for index, count in counts.items() if count > 0), key=lambda index: (-counts[index], index))
    # "[unused7]" and the like have the lowest ids of BERT's vocabularies, and no text has them
    rest = sorted(token_of, key=lambda index: (bool(_UNUSED.fullmatch(token_of[index])), index))
    for index in (*seen, *rest):
        needed = needed_by(index) - kept
        if len(kept) + len(needed) <= size:
            kept |= needed
    return sorted(kept)


def cut_tokenizer(tokenizer_json: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """A tokenizer.json with only the kept tokens; `kept[i]` becomes token i.

    Raises:
        ModelError: A kind of tokenizer that cannot be cut.
        ConfigError: `kept` lacks an added token, or names one that does not exist.
    """
    vocabulary = _vocabulary(tokenizer_json)
    new_id = {old: new for new, old in enumerate(kept)}
    if unknown := new_id.keys() - set(vocabulary.values()):
        raise ConfigError(f"cannot keep token id {min(unknown)}, the tokenizer has {len(vocabulary)} tokens")
    if lost := [token["content"] for token in tokenizer_json.get("added_tokens", []) if token["id"] not in new_id]:
        raise ConfigError(f"cannot drop the added token {lost[0]!r}")
    model = dict(tokenizer_json["model"])
    cut = {token: new_id[index] for token, index in model["vocab"].items() if index in new_id}
    model["vocab"] = dict(sorted(cut.items(), key=lambda item: item[1]))
    if "merges" in model:
        model["merges"] = [
            merge for merge in model["merges"] if all(part in cut for part in (*_parts(merge), "".join(_parts(merge))))
        ]
    result = {**tokenizer_json, "model": model}
    result["added_tokens"] = [{**token, "id": new_id[token["id"]]} for token in tokenizer_json.get("added_tokens", [])]
    result["post_processor"] = _cut_post_processor(tokenizer_json.get("post_processor"), new_id)
    if tokenizer_json.get("padding"):
        padding = tokenizer_json["padding"]
        result["padding"] = {**padding, "pad_id": new_id[padding["pad_id"]]}
    return result


def cut_special_ids(config: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """A config.json with `pad_token_id` and its like renumbered; an id that was not kept becomes None.

    Raises:
        ModelError: The padding token would move in a family whose positions are counted from it.
    """
    new_id = {old: new for new, old in enumerate(kept)}
    result = dict(config)
    for key, value in config.items():
        if not key.endswith(_TOKEN_ID) or value is None:
            continue
        result[key] = [new_id[index] for index in value] if isinstance(value, list) else new_id.get(value)
    family = FAMILIES.get(str(config.get("model_type")))
    pad = f"pad{_TOKEN_ID}"
    if family is not None and family.position_offset and result.get(pad) != config.get(pad):
        raise ModelError(
            f"the padding token would move from id {config.get(pad)} to {result.get(pad)}, "
            f"and the positions of {family.name} are counted from that id",
            _WHOLE,
        )
    return result


def cut_tokenizer_files(folder: Path, kept: Sequence[int]) -> None:
    """Cut the tokenizer that `save_pretrained` wrote into a folder, in place.

    Raises:
        ModelError: A kind of tokenizer that cannot be cut.
        ConfigError: `kept` lacks an added token, or names one that does not exist.
    """
    write_json(folder / "tokenizer.json", cut_tokenizer(read_json(folder / "tokenizer.json"), kept))
    settings_path = folder / "tokenizer_config.json"
    settings = read_json(settings_path) if settings_path.is_file() else {}
    if "added_tokens_decoder" in settings:
        new_id = {str(old): str(new) for new, old in enumerate(kept)}
        decoder = settings["added_tokens_decoder"]
        settings["added_tokens_decoder"] = {new_id[old]: token for old, token in decoder.items()}
        write_json(settings_path, settings)
    for name in _OTHER_VOCABULARIES:
        (folder / name).unlink(missing_ok=True)


def require_cuttable(tokenizer_json: Mapping[str, Any]) -> None:
    """Make sure that a vocabulary can be cut.

    Raises:
        ModelError: A kind of tokenizer that cannot be cut.
    """
    _vocabulary(tokenizer_json)


def _vocabulary(tokenizer_json: Mapping[str, Any]) -> dict[str, int]:
    model = tokenizer_json["model"]
    kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece")
    if kind not in ("WordPiece", "BPE"):
        raise ModelError(f"cannot cut the vocabulary of a {kind} tokenizer, only of WordPiece and BPE", _WHOLE)
    if kind == "BPE" and (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")):
        raise ModelError("cannot cut the vocabulary of a BPE tokenizer that marks the parts of words", _WHOLE)
    return {
        **model["vocab"],
        **{token["content"]: token["id"] for token in tokenizer_json.get("added_tokens", [])},
    }


def _always_kept(tokenizer_json: Mapping[str, Any], vocabulary: Mapping[str, int]) -> set[int]:
    model = tokenizer_json["model"]
    prefix = model.get("continuing_subword_prefix") or ""
    single = {index for token, index in vocabulary.items() if len(token.removeprefix(prefix)) <= 1}
    added = {token["id"] for token in tokenizer_json.get("added_tokens", [])}
    unknown = {vocabulary[model["unk_token"]]} if model.get("unk_token") in vocabulary else set()
    return single | added | unknown | _post_processor_ids(tokenizer_json.get("post_processor"))


def _needed_by(model: Mapping[str, Any], vocabulary: Mapping[str, int]) -> Callable[[int], set[int]]:
    """A function that gives a token with all tokens that BPE passes through on the way to it."""
    parts: dict[int, set[int]] = {}
    for merge in model.get("merges", ()):
        left, right = _parts(merge)
        parts.setdefault(vocabulary[left + right], set()).update((vocabulary[left], vocabulary[right]))

    def needed(index: int) -> set[int]:
        found: set[int] = set()
        open_ids = [index]
        while open_ids:
            current = open_ids.pop()
            if current not in found:
                found.add(current)
                open_ids.extend(parts.get(current, ()))
        return found

    return needed


def _parts(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _processors(processor: Mapping[str, Any] | None) -> Iterable[Mapping[str, Any]]:
    if processor is None:
        return
    if processor["type"] == "Sequence":
        for inner in processor["processors"]:
            yield from _processors(inner)
    else:
        yield processor


def _post_processor_ids(processor: Mapping[str, Any] | None) -> set[int]:
    found: set[int] = set()
    for one in _processors(processor):
        if one["type"] == "TemplateProcessing":
            found.update(index for token in one["special_tokens"].values() for index in token["ids"])
        elif one["type"] in ("BertProcessing", "RobertaProcessing"):
            found.update((one["sep"][1], one["cls"][1]))
    return found


def _cut_post_processor(processor: Mapping[str, Any] | None, new_id: Mapping[int, int]) -> dict[str, Any] | None:
    if processor is None:
        return None
    match processor["type"]:
        case "Sequence":
            inner = [_cut_post_processor(one, new_id) for one in processor["processors"]]
            return {**processor, "processors": inner}
        case "TemplateProcessing":
            tokens = {
                name: {**token, "ids": [new_id[index] for index in token["ids"]]}
                for name, token in processor["special_tokens"].items()
            }
            return {**processor, "special_tokens": tokens}
        case "BertProcessing" | "RobertaProcessing":
            ends = {end: [processor[end][0], new_id[processor[end][1]]] for end in ("sep", "cls")}
            return {**processor, **ends}
        case _:
            return dict(processor)

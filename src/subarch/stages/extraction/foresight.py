"""What a search or a pre-training would be, told before it is run: a search's conditions, and what it takes."""

from __future__ import annotations

from typing import Any

from subarch.stages.extraction import conditions
from subarch.stages.extraction import estimate as estimation
from subarch.stages.extraction.settings import ExtractConfig
from subarch.stages.pretraining.estimate import estimate_pretraining
from subarch.stages.pretraining.settings import PretrainConfig


def foresee(
    config: ExtractConfig | PretrainConfig, *, check: bool, estimate: bool, hardware: str | None = None
) -> tuple[str, dict[str, Any]]:
    """The lines that a person wants, and the same as JSON: `conditions`, `estimate`.

    Raises:
        UserError: A teacher, a corpus, a space or hardware that cannot be used.
    """
    texts: list[str] = []
    plain: dict[str, Any] = {}
    if check and isinstance(config, ExtractConfig):
        found = conditions.conditions(config)
        texts.append(conditions.render(found))
        plain["conditions"] = [condition.to_json() for condition in found]
    if estimate:
        if isinstance(config, PretrainConfig):
            known = estimate_pretraining(config)
        else:
            known = estimation.estimate_extraction(config, hardware)
        texts.append(estimation.render(known))
        plain["estimate"] = known
    return "\n".join(texts), plain

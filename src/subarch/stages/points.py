"""The points that Agora adds: made by τ, labelled by Socrates, balanced, and kept with where each came from."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from subarch.stages.finetuning import FinetuneConfig
from subarch.stages.growing import AgoraConfig
from subarch.stages.inputs import ModelFolder
from subarch.storage import replacing_file
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.scoring.predictions import with_ids
from subarch.training.agora import Growth
from subarch.training.augment.base import AnyTransformation
from subarch.training.augment.mining import Mining
from subarch.training.augment.points import transform
from subarch.training.augment.window import Window
from subarch.training.precision import cast_weights, resolve_precision
from subarch.training.predict import predict
from subarch.training.processes import process_state
from subarch.training.socrates import answers, asked, balanced

METADATA = b"subarch"
MOST_EACH = 20
"""Points of one transformation around one source: more would all but repeat each other."""


@dataclass(frozen=True, kw_only=True)
class AddedPoints:
    """Labelled points with their provenance."""

    examples: Examples
    """Labels are Socrates'; columns "source" (id of the example that it came from), "transformation", "confidence"."""
    growth: Growth


@dataclass(kw_only=True)
class PointMaker:
    """Makes points for one task."""

    config: FinetuneConfig
    settings: AgoraConfig
    data: TaskData
    """D, with E as its validation split."""
    socrates: ModelFolder
    transformations: tuple[AnyTransformation, ...]
    mining: Mining | None
    known: set[tuple[str, str]] = field(default_factory=set)
    """`text_keys` of all data and of the points so far: none of them comes again."""

    def know(self, examples: Examples) -> None:
        """Take these for known."""
        self.known.update(examples.text_keys())

    def around_mistakes(self, wrong: Examples, rng: np.random.Generator) -> AddedPoints:
        """Steps 3 and 4 of Agora.

        Args:
            wrong: Rows of E that the best model gets wrong.
            rng: Draws all that is random.
        """
        mistakes = asked(wrong)
        sources = wrong
        if self.settings.sources == "random" and mistakes:
            train = with_ids(self.data.train)
            sources = train.sample(len(wrong), seed=int(rng.integers(2**31)))
        return self._points(sources, self.settings.growth, mistakes, rng)

    def around_training(self, share: float, rng: np.random.Generator) -> AddedPoints:
        """Points around random training examples, `share` as many as there are."""
        return self._points(with_ids(self.data.train), share, 0, rng)

    def _points(self, sources: Examples, share: float | None, mistakes: int, rng: np.random.Generator) -> AddedPoints:
        wanted = None if share is None else math.ceil(share * len(self.data.train))
        each = 1
        if wanted is not None and len(sources):
            each = min(MOST_EACH, math.ceil(wanted / len(sources) / max(1, len(self.transformations))))
        made = self._labelled(sources, each, rng)
        produced = asked(made)
        kept = self._confident(made)
        if self.settings.balance == "discard" and self.data.task.kind == "classification" and len(kept):
            kept = self._balanced(kept, each, rng)
        if wanted is not None:
            kept = kept.sample(wanted, seed=int(rng.integers(2**31)))
        growth = Growth(mistakes=mistakes, produced=produced, added=asked(kept))
        return AddedPoints(examples=kept, growth=growth)

    def _labelled(self, sources: Examples, each: int, rng: np.random.Generator) -> Examples:
        """New points around the sources with Socrates' answers."""
        task = self.data.task
        named = with_ids(sources)
        points = transform(named, task, self.transformations, each=each, window=Window(), rng=rng)
        examples = points.examples
        names = [named.columns["id"][row] for row in points.sources]
        kinds = list(points.transformations)
        if self.mining is not None and len(named):
            mined = self.mining.similar(named, each=each, used=self.known)
            names += [named.columns["id"][row] for row in mined.sources]
            kinds += list(mined.transformations)
            examples = examples.joined(mined.examples) if len(examples) else mined.examples
        if not len(examples):
            return replace(examples, labels=self.data.validation.labels[:0], columns={})  # type: ignore[index]
        found = answers(task.kind, self._outputs(examples), examples.groups)
        new = [examples.groups is not None or key not in self.known for key in examples.text_keys()]
        columns = {"source": names, "transformation": kinds, "confidence": [float(p) for p in found.confidence]}
        return replace(examples, labels=found.labels, columns=columns).take(
            np.flatnonzero(np.broadcast_to(new, len(names)))
        )

    def _outputs(self, examples: Examples) -> np.ndarray:
        device = process_state().device
        model = self.socrates.classifier(self.data.task).to(device)
        cast_weights(model, resolve_precision("auto", device))
        encoded = self.socrates.encode(examples, self.config.length_for(self.data.task))
        return predict(model, encoded.encoded, encoded.pad_token_id)

    def _confident(self, points: Examples) -> Examples:
        if not len(points):
            return points
        sure = np.asarray(points.columns["confidence"]) >= self.settings.confidence
        return points.take(np.flatnonzero(sure))

    def _balanced(self, points: Examples, each: int, rng: np.random.Generator) -> Examples:
        """As many points of each class, after τ was applied to further examples of E of the rarer ones."""
        classes, expansion = len(self.data.task.labels), self.data.validation
        assert points.labels is not None and expansion.labels is not None
        counts = np.bincount(points.labels, minlength=classes)
        for label in np.flatnonzero(counts < counts.max()):
            rows = rng.permutation(np.flatnonzero(expansion.labels == label))
            needed = math.ceil((counts.max() - counts[label]) / each / max(1, len(self.transformations)))
            if not len(rows):
                continue
            more = self._confident(self._labelled(expansion.take(np.sort(rows[:needed])), each, rng))
            assert more.labels is not None
            points = points.joined(more.take(np.flatnonzero(more.labels == label)))
        assert points.labels is not None
        return points.take(balanced(points.labels, classes, rng))


def write_points(path: Path, points: AddedPoints) -> None:
    """Write the file, atomically."""
    examples = points.examples
    columns: dict[str, Any] = {"text": pa.array(examples.texts, pa.string())}
    for name, values in (("pair", examples.pairs), ("label", examples.labels), ("group", examples.groups)):
        if values is not None:
            columns[name] = values
    columns |= {name: list(values) for name, values in examples.columns.items()}
    about = json.dumps(asdict(points.growth)).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as temporary:
        pq.write_table(pa.table(columns).replace_schema_metadata({METADATA: about}), temporary)


def read_points(path: Path) -> AddedPoints:
    """What `write_points` wrote."""
    table = pq.read_table(path)
    values = {name: table[name].to_pylist() for name in table.column_names if name not in ("label", "group")}
    arrays = {name: table[name].to_numpy() for name in ("label", "group") if name in table.column_names}
    examples = Examples(values.pop("text"), values.pop("pair", None), arrays.get("label"), arrays.get("group"), values)
    growth = Growth(**json.loads((table.schema.metadata or {})[METADATA]))
    return AddedPoints(examples=examples, growth=growth)

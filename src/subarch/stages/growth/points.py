"""The points that Agora adds: made by τ, labelled by Socrates, balanced, and kept with where each came from."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedModel

from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import grown_kind, kind_of
from subarch.running.budget import Deadline
from subarch.stages.finetuning.settings import FinetuneConfig
from subarch.stages.growth.settings import AgoraConfig
from subarch.storage import replacing_file
from subarch.tasks.base import Examples, Task, TaskData
from subarch.training.agora import Growth
from subarch.training.augment.base import AnyTransformation
from subarch.training.augment.mining import Mining
from subarch.training.augment.points import transform
from subarch.training.augment.window import Window
from subarch.training.precision import cast_weights, inference_dtype
from subarch.training.predict import predict
from subarch.training.processes import process_state
from subarch.training.socrates import Answers, asked, balanced

METADATA = b"subarch"
MOST_EACH = 20
"""Points of one transformation around one source: more would all but repeat each other."""
SPARE = 2.0
"""τ is tried around this many times the training examples that are needed, because it cannot change all of them."""

FIRST_POINTS = 64
"""Points that are made first if there is a deadline. Their time says how many more there is time for."""
NEVER = Deadline.after(None)

TextKey = tuple[str, str]
"""See `Examples.text_keys`."""


@dataclass(frozen=True, kw_only=True)
class AddedPoints:
    """Labelled points with their provenance."""

    examples: Examples
    """Labels are Socrates'; columns "source" (id of the example that it came from), "transformation", "confidence"."""
    growth: Growth


@dataclass(frozen=True, kw_only=True)
class Known:
    """Texts that must not come again."""

    keys: frozenset[TextKey] = frozenset()
    """Their `text_keys`, by which texts that were found are known: not in other capitals either."""
    texts: frozenset[TextKey] = frozenset()
    """The texts as they are, by which texts that were made are known: other capitals are what τ may change."""

    def and_those_of(self, examples: Examples) -> Known:
        """These and the examples' texts."""
        return Known(keys=self.keys.union(examples.text_keys()), texts=self.texts.union(_texts(examples)))

    def unknown_rows(self, examples: Examples) -> np.ndarray:
        """Rows whose texts are not known. A group gives all its rows, unless all of them are known."""
        fresh = np.asarray([text not in self.texts for text in _texts(examples)], dtype=bool)
        if examples.groups is not None and len(fresh):
            numbers = np.unique(examples.groups, return_inverse=True)[1]
            fresh = (np.bincount(numbers, fresh) > 0)[numbers]
        return np.flatnonzero(fresh)


def _texts(examples: Examples) -> list[TextKey]:
    return list(zip(examples.texts, examples.pairs or [""] * len(examples), strict=True))


@dataclass(kw_only=True)
class PointMaker:
    """Makes points for one task."""

    config: FinetuneConfig
    settings: AgoraConfig
    data: TaskData
    """D, with what of E may grow as its validation split; both have ids."""
    socrates: ModelFolder
    transformations: tuple[AnyTransformation, ...]
    mining: Mining | None
    known: Known = field(default_factory=Known)
    """All data and the points so far: none of them comes again."""

    def know(self, examples: Examples) -> None:
        """Take these for known."""
        self.known = self.known.and_those_of(examples)

    def around_mistakes(self, wrong: Examples, rng: np.random.Generator, deadline: Deadline = NEVER) -> AddedPoints:
        """Steps 3 and 4 of Agora.

        Args:
            wrong: Rows of E that the best model gets wrong.
            rng: Draws all that is random.
            deadline: Where it comes first, what there is by then is all.
        """
        share, count = self.settings.growth, asked(wrong)
        if self.settings.sources == "mistakes" or not len(wrong):
            return self._points(wrong, share, count, (rng, deadline))
        if self.settings.sources == "random":
            return self._points(self._at_random(len(wrong), rng), share, count, (rng, deadline))
        half = None if share is None else share / 2
        mistaken = self._points(wrong, half, count, (rng, deadline.share(0.5)))
        self.know(mistaken.examples)
        if half is None:
            others = self._points(self._at_random(len(wrong), rng), None, 0, (rng, deadline))
        else:
            others = self.around_training(half, rng, deadline)
        return AddedPoints(
            examples=mistaken.examples.joined(others.examples),
            growth=Growth(
                mistakes=count,
                produced=mistaken.growth.produced + others.growth.produced,
                added=mistaken.growth.added + others.growth.added,
            ),
        )

    def _at_random(self, count: int, rng: np.random.Generator) -> Examples:
        return self.data.train.sample(count, seed=int(rng.integers(2**31)))

    def around_training(self, share: float, rng: np.random.Generator, deadline: Deadline = NEVER) -> AddedPoints:
        """Points around random training examples, `share` as many as there are if the time allows."""
        count = math.ceil(SPARE * share * len(self.data.train) / max(1, len(self.transformations)))
        return self._points(self._at_random(count, rng), share, 0, (rng, deadline))

    def _points(
        self,
        sources: Examples,
        share: float | None,
        mistakes: int,
        randomness_and_time: tuple[np.random.Generator, Deadline],
    ) -> AddedPoints:
        rng, deadline = randomness_and_time
        wanted = None if share is None else math.ceil(share * len(self.data.train))
        each = 1
        if wanted is not None and len(sources):
            each = min(MOST_EACH, math.ceil(wanted / len(sources) / max(1, len(self.transformations))))
        balance = self.settings.balance != "none" and kind_of(self.data.task).has_classes
        enough = None if balance or self.settings.confidence else wanted
        made = self._in_time(sources, each, rng, (deadline, enough))
        if balance and self.settings.balance == "fill" and len(made):
            made = made.joined(self._of_rarer_classes(made, each, rng))
        kept = self._confident(made)
        if balance:
            assert kept.labels is not None
            classes = len(self.data.task.labels)
            most = None if wanted is None else wanted // classes
            kept = kept.take(balanced(kept.labels, classes, rng, most))
        elif wanted is not None:
            kept = kept.sample(wanted, seed=int(rng.integers(2**31)))
        growth = Growth(mistakes=mistakes, produced=asked(made), added=asked(kept))
        return AddedPoints(examples=kept, growth=growth)

    def _in_time(
        self, sources: Examples, each: int, rng: np.random.Generator, ends: tuple[Deadline, int | None]
    ) -> Examples:
        """Points around all sources; under a deadline around random ones, until it comes or there are enough."""
        deadline, enough = ends
        if deadline.remaining() == math.inf:
            return self._labelled(sources, each, self.known, rng)
        groups = np.arange(len(sources)) if sources.groups is None else sources.groups
        numbers = rng.permutation(np.unique(groups))
        made = self._labelled(sources.take(np.arange(0)), each, self.known, rng)
        start, count = 0, math.ceil(FIRST_POINTS / each / max(1, len(self.transformations)))
        while start < len(numbers) and not (start and deadline.expired) and (enough is None or asked(made) < enough):
            left = deadline.remaining()
            rows = np.flatnonzero(np.isin(groups, numbers[start : start + count]))
            more = self._labelled(sources.take(rows), each, self.known.and_those_of(made), rng)
            made, start = made.joined(more), start + count
            # Half of the time that is left at most, since some texts take longer than others.
            spent = left - deadline.remaining()
            count = min(2 * count, max(1, int(count * deadline.remaining() / 2 / max(spent, 1e-9))))
        return made

    def _labelled(self, sources: Examples, each: int, known: Known, rng: np.random.Generator) -> Examples:
        """New points around the sources with Socrates' answers, none of them among the known texts."""
        task = self.data.task
        points = transform(sources, task, self.transformations, each=each, window=Window(), rng=rng)
        examples, rows, kinds = points.examples, points.sources, points.transformations
        if self.mining is not None and len(sources):
            mined = self.mining.similar(sources, each=each, used=known.and_those_of(examples).keys)
            rows = np.concatenate([rows, mined.sources])
            kinds = (*kinds, *mined.transformations)
            examples = examples.joined(mined.examples) if len(examples) else mined.examples
        names = [sources.columns["id"][row] for row in rows]
        found = self._answers(examples)
        columns = {"source": names, "transformation": list(kinds), "confidence": found.confidence.tolist()}
        labelled = replace(examples, labels=found.labels, columns=columns)
        return labelled.take(known.unknown_rows(examples))

    def _answers(self, examples: Examples) -> Answers:
        """What Socrates says of them."""
        task = self.data.task
        if not len(examples):
            assert self.data.validation.labels is not None
            return Answers(labels=self.data.validation.labels[:0], confidence=np.zeros(0))
        outputs = _outputs(self._teacher, self.socrates, examples, self.config.length_for(task))
        return grown_kind(task).said(outputs, examples.groups)

    @cached_property
    def _teacher(self) -> PreTrainedModel:
        return _ready(self.socrates, self.data.task)

    def _confident(self, points: Examples) -> Examples:
        return points.take(np.flatnonzero(np.asarray(points.columns["confidence"]) >= self.settings.confidence))

    def _of_rarer_classes(self, points: Examples, each: int, rng: np.random.Generator) -> Examples:
        """Points for the classes that have fewer, around further examples of E with these labels."""
        expansion, found = self.data.validation, self._confident(points).labels
        assert expansion.labels is not None and found is not None
        counts = np.bincount(found, minlength=len(self.data.task.labels))
        added = points.take(np.zeros(0, dtype=np.int64))
        for label in np.flatnonzero(counts < counts.max()):
            rows = rng.permutation(np.flatnonzero(expansion.labels == label))
            needed = math.ceil((counts.max() - counts[label]) / each / max(1, len(self.transformations)))
            known = self.known.and_those_of(points).and_those_of(added)
            more = self._labelled(expansion.take(np.sort(rows[:needed])), each, known, rng)
            assert more.labels is not None
            added = added.joined(more.take(np.flatnonzero(more.labels == label)))
        return added


def socrates_outputs(config: FinetuneConfig, socrates: ModelFolder, task: Task, examples: Examples) -> np.ndarray:
    """(N, C) logits, or (N, 1) scores, of the teacher."""
    return _outputs(_ready(socrates, task), socrates, examples, config.length_for(task))


def _ready(socrates: ModelFolder, task: Task) -> PreTrainedModel:
    device = process_state().device
    model = socrates.model_for(task).to(device)
    cast_weights(model, inference_dtype("auto", device))
    return model


def _outputs(model: PreTrainedModel, socrates: ModelFolder, examples: Examples, length: int) -> np.ndarray:
    encoded = socrates.encode(examples, length)
    return predict(model, encoded.encoded, encoded.pad_token_id)


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

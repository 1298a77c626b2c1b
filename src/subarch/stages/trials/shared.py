"""What the trials of a search share: made once by the driver, read by all of them, in whatever process they run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from subarch.errors import DataError
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder, aligned
from subarch.kinds.registry import kind_of
from subarch.session.output import is_finished
from subarch.session.session import Session
from subarch.stages.finetune import finetune
from subarch.stages.finetuning.settings import FinetuneConfig
from subarch.stages.trials.latency import measure_table, table_architectures
from subarch.stages.trials.outputs import compute_outputs, kept_layers, read_outputs
from subarch.stages.trials.params import may_be, possible_values
from subarch.stages.trials.settings import SearchConfig
from subarch.stages.trials.student import Donor, StudentConfig, imitated_layers, inherited_layers, require_meaning
from subarch.stages.trials.views import View, open_view
from subarch.stages.trials.weighing import Wanted, calibration_for, read_importance, weigh
from subarch.tasks.base import Array, Task, TaskData
from subarch.training.losses import Batch

TEACHER = "teacher"


def from_anywhere(config: SearchConfig) -> SearchConfig:
    """The same search for a process with another working directory and other variables: all its paths are absolute.

    A model that is no folder here is a Hub id, and stays as it is. Links are kept, since their names tell formats.
    """
    data, teacher = config.data, Path(config.teacher)
    folder = data.data_dir
    if data.task is not None and folder is None and os.environ.get("SUBARCH_DATA"):
        folder = Path(os.environ["SUBARCH_DATA"])
    train, valid, test, data_dir = (
        None if path is None else path.absolute() for path in (data.train, data.valid, data.test, folder)
    )
    return replace(
        config,
        teacher=str(teacher.absolute()) if teacher.exists() else config.teacher,
        out=config.out.absolute(),
        data=replace(data, train=train, valid=valid, test=test, data_dir=data_dir),
    )


def require_usable(config: SearchConfig, teacher: ModelFolder, data: TaskData) -> None:
    """Refuse what no search could use, before anything is started or written.

    Raises:
        DataError: Training or validation data without labels.
        ConfigError: A setting that could have no effect.
    """
    for name, examples in (("training", data.train), ("validation", data.validation)):
        if not (len(examples) and kind_of(data.task).labelled(examples)):
            raise DataError(f"the {name} data of {data.task.name} have no labelled rows, expected some")
    for dropout in possible_values(config, "student.classifier_dropout") or (0.0,):
        require_meaning(StudentConfig(classifier_dropout=dropout), teacher.architecture, data.task)


def prepare_shared(config: SearchConfig, session: Session, folder: Path) -> None:
    """Make what trials share, as far as it is not there yet; a killed call is repeated, with the same outcome.

    The teacher is fine-tuned if it does not answer the task, its parts are weighed, the data are tokenised for each
    vocabulary that can be listed, the teacher's outputs on the training data are computed, and the latencies of the
    architectures are measured where they can be listed.

    Raises:
        UserError: Data or a teacher that cannot be used; see `require_usable` for what is known before.
        InterruptedRun: Stopped by the user, after saving.
    """
    teacher, data = _teacher_and_data(config, session, folder)
    length = config.max_length or data.task.max_length
    session.phase("reading", f"{len(data.train):,} examples")
    whole = open_view(data, teacher, length, folder / "views", 1.0)
    if may_be(config, "student.start", "inherited"):
        session.phase("weighing", "the teacher's parts")
        weigh(_donor(teacher, data.task, folder), whole, _groups(data), folder, _wanted(config))
    for share in possible_values(config, "student.vocabulary") or ():
        open_view(data, teacher, length, folder / "views", float(share))
    shared = open_shared(config, folder)
    if _may_distil(config):
        session.phase("asking", f"the teacher about {len(data.train):,} examples")
        layers = kept_layers(whole.train, teacher, _may_be_imitated(config, shared.donor), data.task)
        compute_outputs(teacher, data.task, whole.train, layers, folder, session)
    architectures = table_architectures(config, teacher.architecture)
    if architectures is not None:
        session.phase("timing", f"{len(architectures)} architectures")
        measure_table(shared.donor, architectures, whole.validation.data, folder)


@dataclass(frozen=True)
class Shared:
    """What trials share, opened for reading."""

    data: TaskData
    donor: Donor
    length: int
    folder: Path

    def view(self, share: float) -> View:
        """The data as students with this share of the vocabulary see them."""
        return open_view(self.data, self.donor.teacher, self.length, self.folder / "views", share)

    def outputs(self, view: View, student: StudentConfig, layers: tuple[int, ...] | None) -> Callable[[Array], Batch]:
        """The teacher's outputs for the batches of a student.

        Args:
            view: What it sees.
            student: Its settings.
            layers: The teacher's that it imitates; by default those that fit the ones it inherits.
        """
        teacher = self.donor.teacher.architecture
        depth = student.num_hidden_layers or teacher.num_hidden_layers
        wanted = imitated(self.donor, student.layers, depth) if layers is None else layers[-depth:]
        return read_outputs(view.train, wanted, self.folder, self.data.task)


def imitated(donor: Donor, layers: str, depth: int) -> tuple[int, ...]:
    """The teacher's layers (from 1) that a student of this depth imitates; the last one where it is deeper."""
    teacher = donor.teacher.architecture
    if depth > teacher.num_hidden_layers:
        return (teacher.num_hidden_layers,)
    order = donor.drop_order
    name = "spread" if layers == "important" and order is None else layers
    return imitated_layers(inherited_layers(name, depth, teacher, order), teacher.num_hidden_layers)  # type: ignore[arg-type]


def open_shared(config: SearchConfig, folder: Path) -> Shared:
    """What `prepare_shared` made; read once by a process."""
    sizes = config.train_examples, config.validation_examples
    return _opened(config.data, sizes, config.teacher, (config.max_length, config.seed), folder.resolve())


@lru_cache(maxsize=1)
def _opened(
    data_config: DataConfig,
    sizes: tuple[int | None, int | None],
    source: str,
    length_and_seed: tuple[int | None, int],
    folder: Path,
) -> Shared:
    max_length, seed = length_and_seed
    teacher = teacher_of(source, folder)
    data = _sampled(aligned(load_data(data_config), teacher), *sizes)
    donor, length = _donor(teacher, data.task, folder), max_length or data.task.max_length
    if donor.importance is not None:
        whole = open_view(data, teacher, length, folder / "views", 1.0)
        donor = replace(donor, calibration=calibration_for(donor, whole.train, _groups(data), seed))
    return Shared(data, donor, length, folder)


def _sampled(data: TaskData, train: int | None, validation: int | None) -> TaskData:
    """What trials learn from and are scored on; the test split stays whole."""
    return replace(data, train=data.train.sample(train), validation=data.validation.sample(validation))


def _donor(teacher: ModelFolder, task: Task, folder: Path) -> Donor:
    importance, order = read_importance(folder)
    model = teacher.model_for(task).eval()
    return Donor(task=task, teacher=teacher, model=model, importance=importance, drop_order=order)


def _wanted(config: SearchConfig) -> Wanted:
    return Wanted(
        seed=config.seed,
        order=may_be(config, "student.layers", "important"),
    )


def _groups(data: TaskData) -> Array | None:
    return kind_of(data.task).groups(data.train)


def teacher_of(source: str, folder: Path) -> ModelFolder:
    """The teacher that answers the task: fine-tuned for this search, or as it was given."""
    return ModelFolder(folder / TEACHER) if is_finished(folder / TEACHER) else ModelFolder.of(source)


def _teacher_and_data(config: SearchConfig, session: Session, folder: Path) -> tuple[ModelFolder, TaskData]:
    data = load_data(config.data)
    if not ModelFolder.of(config.teacher).answers(data.task):
        session.phase("fine-tuning", "the teacher")
        settings = FinetuneConfig(
            model=config.teacher,
            out=folder / TEACHER,
            data=config.data,
            seed=config.seed,
            max_length=config.max_length,
            loop=config.finetune,
        )
        finetune(settings, session)
    teacher = teacher_of(config.teacher, folder)
    return teacher, _sampled(aligned(data, teacher), config.train_examples, config.validation_examples)


def _may_distil(config: SearchConfig) -> bool:
    return any(
        possible_values(config, f"distillation.{name}") not in ((0,), (0.0,)) for name in ("weight", "hidden_weight")
    )


def _may_be_imitated(config: SearchConfig, donor: Donor) -> set[int]:
    """The teacher's layers (from 1) that some student imitates."""
    teacher = donor.teacher.architecture
    if possible_values(config, "distillation.hidden_weight") in ((0,), (0.0,)):
        return set()
    if config.distillation.layers is not None:
        return set(config.distillation.layers)
    depths = possible_values(config, "student.num_hidden_layers") or range(1, teacher.num_hidden_layers + 1)
    names = possible_values(config, "student.layers") or ()
    found = [imitated(donor, str(name), int(depth or teacher.num_hidden_layers)) for name in names for depth in depths]
    return set().union(*found)

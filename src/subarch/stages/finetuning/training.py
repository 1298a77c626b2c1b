"""One training of a model on a task of any kind, from labels or from a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from transformers import PreTrainedModel

from subarch.arch.build import draw_head, head_layers
from subarch.arch.families import axes_of, family_of
from subarch.arch.pooling import put_mean_first
from subarch.arch.weights import weight_names
from subarch.inputs.models import ModelFolder
from subarch.kinds.base import Kind, Tokenised
from subarch.kinds.registry import kind_of
from subarch.kinds.scorer import Scorer
from subarch.kinds.teacher_answers import TeacherAnswers
from subarch.session.session import Session
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.rationing import ration
from subarch.stages.finetuning.settings import TEACHER_OUTPUTS, FinetuneConfig, loop_context
from subarch.students.hidden import layers_that_fit
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.scoring.predictions import Predictions
from subarch.training.classifier import training_batches
from subarch.training.loop import Batches, Event, OnEvent, TrainResult, train
from subarch.training.losses import Loss
from subarch.training.precision import prepare_for_training

WIDER = 8
"""A rehearsal draws this many times the examples that it needs, and takes those nearest to the mean length."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training made."""

    result: TrainResult
    model: PreTrainedModel
    said: Predictions | None
    """Its answers to the validation rows that it was judged by, where settings of its folder follow from them."""


def train_on_task(
    config: FinetuneConfig,
    session: Session,
    job: Job,
    on_event: OnEvent,
    answers: Path | None = None,
) -> Trained:
    """Train the model on data, with the answers of the teacher if there is one.

    `answers` is the file of those answers, where trainings share them.

    Raises:
        ConfigError: A teacher that reads the texts in other rows than the student has to.
        BudgetError: No time for a first step.
    """
    data, model, teacher = job.data, job.model, job.teacher
    mean = model.reads_mean(data)
    if teacher is None or answers is None:  # A file of answers that trainings share is one of all examples.
        data = ration(config, session, data, (model,) if teacher is None else (model, teacher))
    session.phase("reading", f"{len(data.train):,} examples")
    trained, batches, loss, outputs = _made_ready(
        config, replace(job, data=data), answers or config.out / TEACHER_OUTPUTS, mean
    )
    kind, sample = kind_of(data.task), data.validation.sample(config.validation_examples)
    held_out = model.tokenise(data.task, sample, config.length_for(data.task))
    evaluate = Scorer(kind=kind, task=data.task, rows=held_out, examples=sample)
    context = replace(
        loop_context(config, session, on_event, outputs.save if outputs else lambda: None),
        fresh=fresh_modules(model, data.task, config, mean),
        frozen=_frozen(config, trained, model),
        standard_error=evaluate.standard_error,
    )
    with _as_far_as_needed(kind, trained, outputs):
        network = kind.network(trained)
        result = train(network, batches, loss, config=config.loop, context=context, evaluate=evaluate)
    if outputs is not None and answers is not None:
        outputs.save()  # the next training begins with what this one asked
    said = None
    if kind.has_settings:
        session.phase("asking", f"the trained model about {len(sample):,} validation examples")
        said = kind.tuned(kind.predictions(kind.predict(trained, held_out), held_out, sample), sample)
    return Trained(result=result, model=trained, said=said)


def step_seconds(
    config: FinetuneConfig,
    session: Session,
    job: Job,
    batches: int,
    share: float,
) -> tuple[float, float]:
    """How long a step of such a training takes: a few steps are rehearsed, and leave nothing behind.

    Args:
        config: Of the training.
        session: Its surroundings.
        job: The same.
        batches: The rehearsal sees about this many of its batches, each twice.
        share: Share of the time left that the steps may take. Reading comes before; the first step is always made.

    Returns:
        Seconds of a step for which the teacher must be asked, and of one for which its answers are known. The first
        step warms up, and counts only if there is no other.

    Raises:
        BudgetError: There is no time left.
    """
    data, model = job.data, job.model
    few = _of_mean_length(config, data, model, batches * config.loop.batch_size)
    times: list[float] = []

    def on_event(event: Event) -> None:
        if event["event"] == "step":
            times.append(event["seconds"])

    # No rate to speak of: whatever the training's is, a rehearsal does not diverge.
    loop = replace(config.loop, max_steps=None, epochs=2.0, learning_rate=1e-12, divergence=None)
    with TemporaryDirectory() as folder:
        answers = Path(folder) / TEACHER_OUTPUTS
        classifier, seen, loss, outputs = _made_ready(
            config, replace(job, data=replace(data, train=few)), answers, model.reads_mean(data)
        )
        short = replace(session, deadline=session.deadline.share(share))
        frozen = _frozen(config, classifier, model)
        context = replace(loop_context(config, short, on_event, lambda: None), checkpoint=None, frozen=frozen)
        kind = kind_of(data.task)
        with _as_far_as_needed(kind, classifier, outputs):
            train(kind.network(classifier), seen, loss, config=loop, context=context)
    count = seen.count
    asking = _each(times[:count]) if len(times) > 1 else times[0]
    return asking, _each(times[count - 1 :]) if len(times) > count else asking


def _of_mean_length(config: FinetuneConfig, data: TaskData, model: ModelFolder, count: int) -> Examples:
    """About `count` training examples of about mean length. The batches of a training hold texts of similar length. A
    small sample would be padded to its longest text, and take up to twice as long.
    """
    sample = data.train.sample(WIDER * count, seed=config.seed)
    if sample.groups is not None:
        return sample.sample(count)
    rows = model.tokenise(data.task, sample, config.length_for(data.task))
    lengths = rows.data.encoded.lengths if rows.windows is None else np.bincount(rows.windows.example)
    nearest = np.argsort(np.abs(lengths - lengths.mean()), kind="stable")[:count]
    return sample.take(np.sort(nearest))


def _each(times: Sequence[float]) -> float:
    """Mean distance, above 0 for clocks too coarse to tell."""
    return max(1e-6, (times[-1] - times[0]) / (len(times) - 1))


def _as_far_as_needed(
    kind: Kind, model: PreTrainedModel, outputs: TeacherAnswers | None
) -> AbstractContextManager[None]:
    """The whole last layer is needed only to imitate a teacher's hidden states, token by token."""
    needs_all = outputs is not None and bool(outputs.hidden_layers)
    return nullcontext() if needs_all else kind.sparing(model)


def _made_ready(
    config: FinetuneConfig, job: Job, answers: Path, mean: bool
) -> tuple[PreTrainedModel, Batches, Loss, TeacherAnswers | None]:
    """The model, what it reads, its loss, and the teacher's answers if there is one."""
    data, model, teacher = job.data, job.model, job.teacher
    kind = kind_of(data.task)
    rows = model.tokenise(data.task, data.train, config.length_for(data.task))
    outputs = None if teacher is None else teacher_answers(config, data, (rows, teacher), answers)
    trained = fresh_model(model, data, config.seed, config, mean=mean)
    prepare_for_training(trained, dropout=config.loop.dropout if outputs is None else config.distillation.dropout)
    batches = training_batches(
        rows.data,
        batch_size=config.loop.batch_size,
        seed=config.seed,
        teacher=outputs,
        groups=kind.groups(data.train),
        repeats=config.distillation.repeats if outputs else 1,
    )
    labels = data.train.labels
    loss = kind.task_loss(labels) if outputs is None else kind.distillation_loss(labels, **config.distillation.weights)
    return trained, batches, loss, outputs


def fresh_model(
    model: ModelFolder, data: TaskData, seed: int, config: FinetuneConfig | None = None, *, mean: bool = False
) -> PreTrainedModel:
    """The model of a folder for a task; a head that it lacks is drawn from `seed`, as `config` says if it is given.

    With `mean` it reads the mean over its tokens.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = model.model_for(data.task, activated=False)
        if mean:
            put_mean_first(classifier)
        # A model that Agora goes on from has its head by then.
        if config is not None and config.draws_head and not model.answers(data.task):
            draw_head(classifier, fresh_modules(model, data.task, config, mean), config.head_init, config.head_scale)
    if not model.answers(data.task):
        kind_of(data.task).start_head(classifier, data.train)
    return classifier


def fresh_modules(model: ModelFolder, task: Task, config: FinetuneConfig, mean: bool) -> tuple[str, ...]:
    """Modules of the classifier that start from noise: none where the folder answers the task.

    What reads the `mean` over the encoder's tokens was not trained together with it.
    """
    if model.answers(task) or not kind_of(task).draws_head:
        return ()
    head = "two_layer" if mean and config.head == "default" else config.head
    return head_layers(model.architecture.family, head, weight_names(model.path))


def _frozen(config: FinetuneConfig, classifier: PreTrainedModel, model: ModelFolder) -> tuple[str, ...]:
    """Names of the parameters with a row for each token, where these are to stay."""
    if not config.loop.freeze_vocabulary:
        return ()
    family = family_of(model.architecture.family)
    return tuple(name for name, _ in classifier.named_parameters() if "vocab" in axes_of(family, name))


def teacher_answers(
    config: FinetuneConfig, data: TaskData, student_and_teacher: tuple[Tokenised, ModelFolder], path: Path
) -> TeacherAnswers:
    """What the teacher says of the training data, as far as the file at `path` has it.

    Its hidden layers belong to it where the student, whose view of these data comes first, sees the same tokens.

    Raises:
        ConfigError: The kind of task needs the same tokens, and the student sees others.
    """
    student_rows, teacher = student_and_teacher
    rows, kind = teacher.tokenise(data.task, data.train, config.length_for(data.task)), kind_of(data.task)
    kind.require_same_rows(student_rows, rows, teacher.path)
    encoded = rows.data.encoded
    same_tokens = np.array_equal(student_rows.data.encoded.offsets, encoded.offsets)
    imitated = config.distillation.hidden_weight > 0 and same_tokens
    layers = layers_that_fit(kind, config.distillation.layers or (-1,), rows.data, teacher) if imitated else ()
    return kind.teacher_answers(teacher.model_for(data.task), rows, path, layers)

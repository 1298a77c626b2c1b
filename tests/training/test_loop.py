import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from subarch.errors import BudgetError, ConfigError, DataError, DivergedError, InterruptedRun
from subarch.training.classifier import training_batches
from subarch.training.loop import Batches, LoopContext, train
from subarch.training.losses import task_loss
from subarch.training.predict import predict
from subarch.training.settings import LoopConfig

BATCHES_PER_EPOCH = 4
STEPS = 10
# losses of the ten steps below; a change means that training changed
GOLDEN = [1.0977, 1.0953, 1.1038, 1.0846, 1.0662, 1.0161, 1.0325, 1.0856, 1.0514, 1.1048]


@pytest.fixture
def setting(tiny, classifier_of, encoded_data):
    """A model with dropout, 24 examples in 4 batches an epoch, and a score that is not best at the end."""
    data = encoded_data(24)
    validation = encoded_data(12, seed=1)

    def score(model):
        logits = predict(model, validation.encoded, validation.pad_token_id)
        return -float(np.abs(logits).mean())  # the first weights answer least firmly

    def make(family="bert"):
        model = classifier_of(tiny(family, num_hidden_layers=2), spread=0.05)
        return model, training_batches(data, batch_size=6, seed=3), score

    return make


def config(**changes):
    settings = {"learning_rate": 2e-3, "max_steps": STEPS, "evaluations": 3, "precision": "fp32"}
    return LoopConfig(**(settings | changes))


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class Clock:
    """Stands in for the module `time`; only `forward` moves it."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def forward(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("subarch.training.loop.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_the_golden_trajectory(setting):
    model, batches, _ = setting()
    events = []
    train(model, batches, task_loss, config=config(), context=LoopContext(seed=5, on_event=events.append))
    losses = [event["loss"] for event in events]
    assert losses == pytest.approx(GOLDEN, rel=2e-3)


def test_events_tell_steps_and_evaluations(setting):
    model, batches, score = setting()
    events = []
    train(model, batches, task_loss, config=config(), context=LoopContext(on_event=events.append), evaluate=score)
    steps = [event for event in events if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, STEPS + 1))
    assert [event["progress"] for event in steps] == pytest.approx(np.arange(1, STEPS + 1) / STEPS)
    assert [event["step"] for event in events if event["event"] == "evaluation"] == [4, 7, 10]
    assert all(json.dumps(event) for event in events)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_learns(setting, family, precision):
    model, batches, _ = setting(family)
    events = []
    long = config(max_steps=60, precision=precision, learning_rate=3e-3)
    train(model, batches, task_loss, config=long, context=LoopContext(on_event=events.append))
    losses = [event["loss"] for event in events]
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:8])
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert not model.training


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_trained_model_is_the_saved_one(setting, tmp_path, precision):
    from transformers import AutoModelForSequenceClassification

    model, batches, _ = setting("modernbert")
    train(model, batches, task_loss, config=config(precision=precision), context=LoopContext())
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path, attn_implementation="eager").eval()
    ids = torch.arange(5, 35)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, loaded(input_ids=ids).logits, rtol=0, atol=1e-5)


def test_bf16_stays_near_fp32(setting):
    final = {}
    for precision in ("fp32", "bf16"):
        model, batches, _ = setting()
        events = []
        train(
            model,
            batches,
            task_loss,
            config=config(precision=precision, learning_rate=5e-4),
            context=LoopContext(on_event=events.append),
        )
        final[precision] = [event["loss"] for event in events]
    assert final["bf16"] == pytest.approx(final["fp32"], abs=0.05)
    assert final["bf16"] != final["fp32"]


@pytest.fixture(scope="module")
def uninterrupted():
    return {}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("killed_at", range(1, STEPS))
def test_a_resumed_run_ends_as_an_uninterrupted_one(setting, uninterrupted, tmp_path, killed_at, precision):
    # epochs end after steps 4 and 8, evaluations follow steps 4, 7 and 10
    settings = config(precision=precision)
    if precision not in uninterrupted:
        model, batches, score = setting()
        result = train(model, batches, task_loss, config=settings, context=LoopContext(seed=1), evaluate=score)
        uninterrupted[precision] = (weights(model), result)
    steps = []

    def listen(event):
        steps.extend([event["step"]] if event["event"] == "step" else [])

    def context():
        return LoopContext(
            seed=1,
            checkpoint=tmp_path / "checkpoint.safetensors",
            on_event=listen,
            stop_requested=lambda: steps[-1] == killed_at,
        )

    model, batches, score = setting()
    with pytest.raises(InterruptedRun, match=f"interrupted at step {killed_at}, saved"):
        train(model, batches, task_loss, config=settings, context=context(), evaluate=score)
    model, batches, score = setting()
    result = train(model, batches, task_loss, config=settings, context=context(), evaluate=score)
    expected, straight = uninterrupted[precision]
    assert steps == list(range(1, STEPS + 1))
    assert same(weights(model), expected)
    assert (result.steps, result.best_step, result.best_score) == (
        straight.steps,
        straight.best_step,
        straight.best_score,
    )


def test_last_weights_also_survive_an_interruption_without_evaluation(setting, tmp_path):
    model, batches, _ = setting()
    train(model, batches, task_loss, config=config(), context=LoopContext())
    expected = weights(model)
    for stop_at in (2, 6, 99):
        seen = []
        context = LoopContext(
            checkpoint=tmp_path / "c.safetensors",
            on_event=lambda event, seen=seen: seen.append(event["step"]),
            stop_requested=lambda seen=seen, stop_at=stop_at: seen[-1] >= stop_at,
        )
        model, batches, _ = setting()
        if stop_at < STEPS:
            with pytest.raises(InterruptedRun):
                train(model, batches, task_loss, config=config(), context=context)
        else:
            train(model, batches, task_loss, config=config(), context=context)
    assert same(weights(model), expected)


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"x" * 100])
def test_a_damaged_checkpoint_means_starting_again(setting, tmp_path, damage):
    path = tmp_path / "checkpoint.safetensors"
    model, batches, _ = setting()
    train(model, batches, task_loss, config=config(), context=LoopContext(checkpoint=path))
    expected = weights(model)
    path.write_bytes(damage(path.read_bytes()))
    events = []
    model, batches, _ = setting()
    context = LoopContext(checkpoint=path, on_event=events.append)
    train(model, batches, task_loss, config=config(), context=context)
    assert len(events) == STEPS
    assert same(weights(model), expected)


def test_a_finished_run_is_not_done_again(setting, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    results, ends = [], []
    for _ in range(2):
        model, batches, score = setting()
        events = []
        context = LoopContext(checkpoint=path, on_event=events.append)
        results.append(train(model, batches, task_loss, config=config(), context=context, evaluate=score))
        ends.append(weights(model))
    assert events == []
    assert results[0] == results[1]
    assert same(*ends)


def test_the_best_weights_are_returned_not_the_last(setting):
    model, batches, _ = setting()
    seen, scores = [], iter([0.1, 0.9, 0.9, 0.5, 0.2])

    def evaluate(current):
        seen.append(weights(current))
        return next(scores)

    result = train(
        model, batches, task_loss, config=config(evaluations=5, average=False), context=LoopContext(), evaluate=evaluate
    )
    assert (result.best_score, result.best_step, result.steps) == (0.9, 4, STEPS)
    assert same(weights(model), seen[1])
    assert not same(seen[1], seen[-1])


def test_the_learning_rate_rises_then_falls_to_zero(setting):
    model, batches, _ = setting()
    events = []
    settings = config(max_steps=40, warmup=0.25)
    train(model, batches, task_loss, config=settings, context=LoopContext(on_event=events.append))
    rates = np.array([event["learning_rate"] for event in events])
    assert rates.argmax() == 10
    assert rates.max() == pytest.approx(settings.learning_rate)
    assert (np.diff(rates[:11]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[-1] < 0.05 * settings.learning_rate


def test_a_time_share_ends_the_run_at_rate_zero(setting, clock):
    model, batches, _ = setting()
    events = []

    def listen(event):
        events.append(event)
        clock.forward(0.1)

    settings = config(max_steps=None, epochs=1000)
    context = LoopContext(seconds=4.05, on_event=listen)
    result = train(model, batches, task_loss, config=settings, context=context)
    assert 40 <= result.steps <= 43
    assert result.seconds == pytest.approx(4.1, abs=0.11)
    assert events[-1]["learning_rate"] < 0.05 * settings.learning_rate
    assert events[-1]["progress"] == 1.0


@pytest.mark.parametrize(("cost", "found"), [(0.01, 5), (0.3, 3), (2.0, 2)])
def test_validation_leaves_a_short_training_its_time(setting, clock, cost, found):
    model, batches, _ = setting()
    asked = []

    def evaluate(model):
        clock.forward(cost)
        asked.append(clock.now)
        return 1.0 + len(asked)

    settings = config(max_steps=None, epochs=1000, evaluations=5, average=False)
    context = LoopContext(seconds=4.0, on_event=lambda _: clock.forward(0.05))
    result = train(model, batches, task_loss, config=settings, context=context, evaluate=evaluate)
    assert len(asked) == found and result.best_score == 1.0 + found
    assert result.best_step == result.steps  # the last weights are scored


def test_planned_steps_end_before_a_long_time_share(setting):
    model, batches, _ = setting()
    result = train(
        model, batches, task_loss, config=config(max_steps=None, epochs=1.5), context=LoopContext(seconds=1e6)
    )
    assert result.steps == 6


def test_a_fixed_number_of_steps_ignores_the_time(setting):
    model, batches, _ = setting()
    assert train(model, batches, task_loss, config=config(), context=LoopContext(seconds=1e-9)).steps == STEPS


def test_a_resumed_run_counts_the_time_already_spent(setting, clock, tmp_path):
    settings, steps = config(max_steps=None, epochs=1000), []

    def listen(event):
        steps.append(event["step"])
        clock.forward(0.1)

    for _ in range(2):
        model, batches, _ = setting()
        context = LoopContext(
            checkpoint=tmp_path / "c.safetensors",
            seconds=2.05,
            on_event=listen,
            stop_requested=lambda: steps[-1] == 8,
        )
        try:
            result = train(model, batches, task_loss, config=settings, context=context)
        except InterruptedRun:
            clock.forward(1000.0)  # the time between the two does not count
    assert 20 <= result.steps <= 23
    assert steps == list(range(1, result.steps + 1))


def test_checkpoints_are_rare_and_come_after_what_the_batches_need(setting, clock, tmp_path):
    order = []
    path = tmp_path / "c.safetensors"

    def listen(event):
        clock.forward(3.0)

    def before_save():
        order.append((clock.now - 100.0, path.exists()))

    model, batches, _ = setting()
    context = LoopContext(checkpoint=path, on_event=listen, before_save=before_save)
    train(model, batches, task_loss, config=config(), context=context)
    assert order == [(12.0, False), (24.0, True), (30.0, True)]


def test_an_interruption_without_a_checkpoint_says_so(setting):
    model, batches, _ = setting()
    with pytest.raises(InterruptedRun, match="before anything was saved"):
        train(model, batches, task_loss, config=config(), context=LoopContext(stop_requested=lambda: True))


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_no_time_at_all_is_a_budget_error(setting, seconds):
    model, batches, _ = setting()
    with pytest.raises(BudgetError, match="before the first training step"):
        train(model, batches, task_loss, config=config(max_steps=None), context=LoopContext(seconds=seconds))


def test_time_that_ran_out_since_the_interruption_keeps_what_was_learned(setting, tmp_path):
    settings, seen = config(max_steps=None, epochs=3), []
    context = {"checkpoint": tmp_path / "c.safetensors", "on_event": lambda event: seen.append(event["step"])}
    model, batches, _ = setting()
    with pytest.raises(InterruptedRun):
        stop = LoopContext(stop_requested=lambda: len(seen) == 4, **context)
        train(model, batches, task_loss, config=settings, context=stop)
    model, batches, _ = setting()
    result = train(model, batches, task_loss, config=settings, context=LoopContext(seconds=0.0, **context))
    assert result.steps == 5  # one more, at rate zero


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 0.0},
        {"batch_size": 0},
        {"epochs": -1.0},
        {"clip_norm": 0.0},
        {"evaluations": 0},
        {"warmup": 1.0},
        {"warmup": -0.1},
        {"max_steps": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(ConfigError, match=f"{next(iter(changes))} is .*, expected"):
        LoopConfig(**changes)


def test_the_students_last_layer_reaches_the_loss(setting):
    model, batches, _ = setting()
    seen = []

    def with_hidden(number):
        for make in batches.epoch(number):
            batch = make()
            yield lambda batch=batch: batch | {"teacher_hidden": torch.zeros(*batch["input_ids"].shape, 1, 32)}

    def loss(logits, batch):
        seen.append(batch["student_hidden"].shape == batch["teacher_hidden"].shape)
        return batch["student_hidden"].square().mean()

    train(model, Batches(batches.count, with_hidden), loss, config=config(max_steps=2), context=LoopContext())
    assert seen == [True, True]


def test_the_model_reads_nothing_that_is_for_the_loss(setting):
    model, batches, _ = setting()
    seen = []

    def with_groups(number):
        for make in batches.epoch(number):
            yield lambda make=make: {**make(), "groups": torch.arange(6), "anything": torch.zeros(1)}

    def loss(logits, batch):
        seen.append(batch.keys())
        return task_loss(logits, batch)

    train(model, Batches(batches.count, with_groups), loss, config=config(max_steps=1), context=LoopContext())
    assert seen == [{"input_ids", "attention_mask", "labels", "groups", "anything", "progress"}]


def test_no_batches_at_all_are_refused():
    with pytest.raises(DataError, match="0 batches to train on, expected at least one"):
        Batches(0, lambda number: iter(()))


def test_divergence_stops_the_run(setting):
    model, batches, _ = setting()
    with pytest.raises(DivergedError, match="at step 0"):
        train(model, batches, lambda logits, batch: logits.sum() * float("nan"), config=config(), context=LoopContext())


def test_a_step_that_is_repeated_for_want_of_memory_draws_the_same_dropout():
    drawn = []

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)

        def forward(self, input_ids):
            drawn.append(float(torch.rand(1)))
            if len(drawn) == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return SimpleNamespace(logits=self.linear(input_ids.float()))

    batch = {"input_ids": torch.tensor([[1, 2], [3, 4]]), "labels": torch.tensor([1, 0])}

    def split(make, parts):
        return [lambda rows=rows: {name: values[rows] for name, values in make().items()} for rows in ([0], [1])][
            :parts
        ]

    batches = Batches(2, lambda number: iter([lambda: batch, lambda: batch]), split=split)
    train(Model(), batches, task_loss, config=config(max_steps=1), context=LoopContext(seed=5))
    assert len(drawn) == 3 and drawn[1] == drawn[0] != drawn[2]

import contextlib
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from subarch.arch.families import FAMILIES
from subarch.errors import ConfigError, DataError, DivergedError, InterruptedRun
from subarch.training.loop import LoopContext, train
from subarch.training.masked_lm import MaskedLanguageModel, MaskedLmLoss, MaskedTeacher, masked_lm_batches
from subarch.training.relations import HiddenLoss, RelationLoss
from subarch.training.settings import LoopConfig
from training.blocks import MASKING, ArrayBlocks

STEPS = 9


def config(**changes):
    settings = {"learning_rate": 2e-3, "max_steps": STEPS, "batch_size": 6, "precision": "fp32", "evaluations": 2}
    return LoopConfig(**(settings | changes))


def losses_of(model, batches, loss, settings=None, **context):
    events = []
    train(model, batches, loss, config=settings or config(), context=LoopContext(on_event=events.append, **context))
    return [event["loss"] for event in events if event["event"] == "step"]


def test_the_loss_by_hand():
    # One masked token of two: z = (0, ln 3), so p = (1/4, 3/4); the teacher says (ln 3, 0); T = 1.
    student, teacher = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[math.log(3), 0.0]])
    batch = {"labels": torch.tensor([0]), "teacher_logits": teacher, "input_ids": torch.zeros(1, 2)}
    mlm, kl = math.log(4), 3 / 4 * math.log(3) + 1 / 4 * math.log(1 / 3)
    loss = MaskedLmLoss(alpha=0.1, beta=0.5, temperature=1.0)
    assert float(loss(student, batch)) == pytest.approx(0.1 * mlm + 0.5 * kl)


def test_the_temperature_softens_both_and_is_squared():
    # At T = 2, z = (0, 2·ln 3) again gives p = (1/4, 3/4); the divergence counts four times.
    student, teacher = torch.tensor([[0.0, 2 * math.log(3)]] * 2), torch.tensor([[2 * math.log(3), 0.0]] * 2)
    batch = {"labels": torch.tensor([0, 0]), "teacher_logits": teacher, "input_ids": torch.zeros(1, 2)}
    kl = 3 / 4 * math.log(3) + 1 / 4 * math.log(1 / 3)
    assert float(MaskedLmLoss(alpha=0.0)(student, batch)) == pytest.approx(0.5 * 4 * kl)


def test_the_divergence_has_a_gradient_of_its_proper_size():
    # beta·T·(p_s - p_t) / M at each logit: what the released code of Bort lost.
    student = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 0.5]], requires_grad=True)
    teacher = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.3, 0.1]])
    MaskedLmLoss(alpha=0.0)(student, {"labels": torch.tensor([0, 1]), "teacher_logits": teacher}).backward()
    expected = 0.5 * 2 * (torch.softmax(student / 2, -1) - torch.softmax(teacher / 2, -1)).detach() / 2
    torch.testing.assert_close(student.grad, expected)


def test_nothing_to_minimise_is_refused():
    with pytest.raises(ConfigError, match="no term of the loss has a weight"):
        MaskedLmLoss()(torch.zeros(0), {"labels": torch.zeros(0)})


@pytest.mark.parametrize("family", FAMILIES)
def test_masked_positions_get_the_logits_that_the_whole_model_gives(family, masked_lm_of):
    model = masked_lm_of(family)
    ids = torch.arange(5, 37).reshape(2, 16)
    positions = torch.tensor([1, 5, 17, 30])
    with torch.no_grad():
        found = MaskedLanguageModel(model)(input_ids=ids, masked_positions=positions).logits
        whole = model(input_ids=ids).logits.flatten(0, 1)[positions]
    torch.testing.assert_close(found, whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_and_saves_an_ordinary_model(family, masked_lm_of, tmp_path):
    model = masked_lm_of(family)
    batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=6, seed=0)
    losses = losses_of(
        MaskedLanguageModel(model), batches, MaskedLmLoss(alpha=1.0), config(max_steps=60, learning_rate=3e-3)
    )
    assert np.mean(losses[-6:]) < np.mean(losses[:6]) - 0.1
    model.save_pretrained(tmp_path)
    loaded, ids = (
        AutoModelForMaskedLM.from_pretrained(tmp_path, attn_implementation="eager").eval(),
        torch.arange(5, 15),
    )
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids[None]).logits, model.eval()(ids[None]).logits)


@pytest.mark.parametrize("signal", ["logits", "relations", "hidden"])
def test_a_student_comes_nearer_to_its_teacher(signal, masked_lm_of):
    teacher = MaskedTeacher(masked_lm_of(seed=1), signal=signal, precision="fp32")
    student = masked_lm_of(num_hidden_layers=1, hidden_size=16, num_attention_heads=2, seed=2)
    project = 32 if signal == "hidden" else None
    model = MaskedLanguageModel(student, signal=signal, project_to=project, with_logits=signal == "logits")
    loss = {
        "logits": MaskedLmLoss(alpha=0.0),
        "relations": MaskedLmLoss(alpha=0.0, imitation=RelationLoss(heads=4)),
        "hidden": MaskedLmLoss(alpha=0.0, imitation=HiddenLoss(), imitates="student_hidden"),
    }[signal]
    batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=6, seed=0, teacher=teacher)
    losses = losses_of(model, batches, loss, config(max_steps=60, learning_rate=3e-3))
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])


def test_the_projection_is_not_saved_with_the_model(masked_lm_of, tmp_path):
    model = masked_lm_of(num_hidden_layers=1)
    names = {name for name, _ in model.named_parameters()}
    wrapped = MaskedLanguageModel(model, signal="hidden", project_to=8)
    assert {name.removeprefix("model.") for name, _ in wrapped.named_parameters()} - names == {"projection.weight"}
    assert {name for name, _ in wrapped.model.named_parameters()} == names


@pytest.mark.parametrize("signal", ["logits", "relations"])
def test_parts_add_up_to_the_batch(signal, masked_lm_of):
    def run(parts):
        teacher = MaskedTeacher(masked_lm_of(seed=1), signal=signal, precision="fp32")
        imitation = RelationLoss(heads=4) if signal == "relations" else None
        model = MaskedLanguageModel(masked_lm_of(**NO_DROPOUT), signal=signal)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=6, seed=0, teacher=teacher, parts=parts)
        return losses_of(model, batches, MaskedLmLoss(imitation=imitation))

    assert run(1) == pytest.approx(run(3), rel=1e-4)
    assert run(1) == pytest.approx(run(4), rel=1e-4)  # parts of 2, 2, 1 and 1 blocks


NO_DROPOUT = {"num_hidden_layers": 2}


class ShortOfMemory(MaskedLanguageModel):
    """Room for so many blocks at a time."""

    room = 2

    def forward(self, *, masked_positions, **inputs):
        if len(inputs["input_ids"]) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(masked_positions=masked_positions, **inputs)


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def test_out_of_memory_halves_the_rows_and_keeps_the_batch(masked_lm_of):
    def run(kind):
        events = []
        batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=8, seed=0)
        model = without_dropout(kind(masked_lm_of()))
        train(model, batches, MaskedLmLoss(), config=config(), context=LoopContext(on_event=events.append))
        losses = [event["loss"] for event in events if event["event"] == "step"]
        return losses, [event["detail"] for event in events if event["event"] == "phase"]

    plain, said = run(MaskedLanguageModel)
    short, said_short = run(ShortOfMemory)
    assert said == [] and short == pytest.approx(plain, rel=1e-4)
    assert [detail.split(" ")[0] for detail in said_short] == ["2", "4"]  # once each


def test_where_one_row_is_too_much_the_error_passes(masked_lm_of):
    model = ShortOfMemory(masked_lm_of())
    model.room = 0
    batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=4, seed=0)
    with pytest.raises(torch.OutOfMemoryError):
        train(model, batches, MaskedLmLoss(), config=config(), context=LoopContext())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_killed_anywhere_the_losses_go_on_as_if_nothing_had_been(masked_lm_of, tmp_path, precision):
    settings = config(precision=precision, schedule="noam", divergence=3.0, keep_checkpoints=2)

    def run(**context):
        batches = masked_lm_batches(ArrayBlocks(count=14), MASKING, batch_size=6, seed=3, parts=2)
        model = MaskedLanguageModel(masked_lm_of())
        return losses_of(model, batches, MaskedLmLoss(alpha=1.0), settings, seed=3, **context)

    straight = run()
    for killed_at in range(1, STEPS):
        count, seen = [0], []

        def stop(count=count, killed_at=killed_at):
            count[0] += 1
            return count[0] == killed_at

        path = tmp_path / f"{killed_at}.safetensors"
        with pytest.raises(InterruptedRun):
            seen = run(checkpoint=path, stop_requested=stop)
        seen = run(checkpoint=path)
        assert seen == straight[killed_at:]


def test_the_checkpoint_before_the_newest_takes_its_place(masked_lm_of, tmp_path):
    settings = config(keep_checkpoints=2, checkpoint_seconds=1e-9)
    path = tmp_path / "c.safetensors"

    def run(steps, **context):
        batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=6, seed=3)
        model, events = MaskedLanguageModel(masked_lm_of()), []
        stop = {"stop_requested": lambda: len(events) == steps}
        context = LoopContext(on_event=events.append, checkpoint=path, **stop)
        with contextlib.suppress(InterruptedRun):
            train(model, batches, MaskedLmLoss(alpha=1.0), config=settings, context=context)
        return [(event["step"], event["loss"]) for event in events]

    first, second = run(3), run(2)
    assert [step for step, _ in first + second] == [1, 2, 3, 4, 5]
    path.write_bytes(path.read_bytes()[:100])
    rest = run(99)
    assert rest[0][0] in (4, 5) and rest[-1][0] == STEPS
    assert dict(second)[rest[0][0]] == rest[0][1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c.previous.safetensors", "c.safetensors"]


def test_a_diverging_run_stops_and_keeps_the_last_checkpoint(masked_lm_of, tmp_path):
    path = tmp_path / "c.safetensors"
    batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=6, seed=0)
    calls = []

    def rising(logits, batch):
        calls.append(1)
        return logits.float().square().mean() * 0 + logits.sum() * 0 + (1.0 if len(calls) < 30 else 100.0)

    settings = config(max_steps=100, divergence=2.0, checkpoint_seconds=1e-9)
    with pytest.raises(DivergedError, match=r"the loss diverges: \d.* at step 29, smoothed, after 1\.000"):
        train(
            MaskedLanguageModel(masked_lm_of()),
            batches,
            rising,
            config=settings,
            context=LoopContext(checkpoint=path),
        )
    assert path.exists()


def test_gradients_that_are_no_numbers_change_nothing(masked_lm_of):
    model = MaskedLanguageModel(masked_lm_of())
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def loss(logits, batch):
        return (logits.float().sum() * 0.0).sqrt()  # 0, with an infinite slope

    batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=6, seed=0)
    with pytest.raises(DivergedError, match="the norm of the gradients became nan"):
        train(model, batches, loss, config=config(), context=LoopContext())
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_batches_cover_an_epoch_and_differ_between_epochs():
    batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=6, seed=0)
    assert batches.count == 4
    epochs = [[make() for make in batches.epoch(number)] for number in (0, 0, 1)]
    first, again, second = (torch.cat([batch["input_ids"] for batch in epoch]) for epoch in epochs)
    assert torch.equal(first, again) and not torch.equal(first, second)
    shown = [torch.cat([batch["labels"] for batch in epoch]) for epoch in epochs]
    assert not torch.equal(shown[0], shown[2])
    whole = first.clone().flatten()
    offset = 0
    for batch in epochs[0]:
        whole[batch["masked_positions"] + offset] = batch["labels"]
        offset += batch["input_ids"].numel()
    rows = sorted(map(tuple, whole.reshape(24, 16).tolist()))
    assert rows == sorted(map(tuple, ArrayBlocks().ids.tolist()))


def test_padding_is_masked_only_where_there_is_some():
    blocks = ArrayBlocks(count=2)
    assert "attention_mask" not in next(masked_lm_batches(blocks, MASKING, batch_size=2, seed=0).epoch(0))()
    blocks.ids[0, 6:] = 1
    mask = next(masked_lm_batches(blocks, MASKING, batch_size=2, seed=0).epoch(0))()["attention_mask"]
    assert sorted(mask.sum(1).tolist()) == [6, 16]


def test_more_blocks_in_a_batch_than_there_are():
    batches = masked_lm_batches(ArrayBlocks(count=3), MASKING, batch_size=8, seed=0)
    assert batches.count == 1 and len(next(batches.epoch(0))()["input_ids"]) == 8


def test_batches_that_cannot_be():
    with pytest.raises(ConfigError, match="7 micro-batches of 6 blocks, expected 1 to 6"):
        masked_lm_batches(ArrayBlocks(), MASKING, batch_size=6, seed=0, parts=7)
    with pytest.raises(DataError, match="0 batches to train on"):
        masked_lm_batches(ArrayBlocks(count=0), MASKING, batch_size=6, seed=0)

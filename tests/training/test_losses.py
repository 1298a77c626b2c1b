import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from subarch.errors import DivergedError
from subarch.training.losses import (
    ChoiceDivergence,
    DistillationLoss,
    Divergence,
    OutputDistance,
    RegressionLoss,
    choice_errors,
    choice_loss,
    divergence,
    hidden_distance,
    require_finite,
    surrogate_errors,
    task_loss,
)

STUDENT = torch.tensor([[1.0, -0.5, 0.2], [0.0, 2.0, -1.0]])
TEACHER = torch.tensor([[2.0, 0.1, -0.3], [-1.0, 1.5, 0.5]])
LABELS = torch.tensor([0, 2])


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_divergence_is_the_softened_kullback_leibler(temperature):
    teacher, student = (softmax(logits.numpy() / temperature, axis=1) for logits in (TEACHER, STUDENT))
    expected = temperature**2 * np.mean([entropy(t, s) for t, s in zip(teacher, student, strict=True)])
    assert float(divergence(STUDENT, TEACHER, temperature)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_gradient_of_the_divergence_is_the_difference_of_the_softened_answers(temperature):
    # Hinton et al. 2015, Eq. 2: T²·d/dz = T·(softmax(z/T) - softmax(v/T)), here as a mean over two examples
    student = STUDENT.clone().requires_grad_()
    divergence(student, TEACHER, temperature).backward()
    answers = [softmax(logits.numpy() / temperature, axis=1) for logits in (STUDENT, TEACHER)]
    np.testing.assert_allclose(student.grad.numpy(), temperature * (answers[0] - answers[1]) / 2, atol=1e-6)


def test_a_student_that_agrees_has_no_divergence_and_no_gradient():
    student = TEACHER.clone().requires_grad_()
    value = divergence(student, TEACHER + 3.0, 2.0)  # a constant does not change a distribution
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-6)
    assert float(student.grad.abs().max()) < 1e-6


def test_half_precision_outputs_are_compared_in_fp32():
    assert divergence(STUDENT.bfloat16(), TEACHER, 2.0).dtype == torch.float32
    assert task_loss(STUDENT.bfloat16(), {"labels": LABELS}).dtype == torch.float32


def test_task_loss_is_cross_entropy():
    expected = -log_softmax(STUDENT.numpy(), axis=1)[[0, 1], [0, 2]].mean()
    assert float(task_loss(STUDENT, {"labels": LABELS})) == pytest.approx(expected, rel=1e-5)


# Three questions of two, three and one rows; the second has two right rows, the third none.
GROUPS = torch.tensor([0, 0, 1, 1, 1, 2])
RIGHT = torch.tensor([0, 1, 1, 0, 1, 0])
SCORES = torch.tensor([[0.5], [1.5], [0.0], [2.0], [1.0], [3.0]])


def test_the_choice_loss_is_cross_entropy_over_the_rows_of_a_question():
    scores = SCORES.numpy()[:, 0]
    first = -np.log(softmax(scores[:2])[1])
    second = -np.log(softmax(scores[2:5])[[0, 2]].sum())
    loss = choice_loss(SCORES, {"groups": GROUPS, "labels": RIGHT})
    assert float(loss) == pytest.approx((first + second) / 2, rel=1e-5)


def test_the_gradient_of_the_choice_loss_stays_within_its_question():
    scores = SCORES.clone().requires_grad_()
    choice_loss(scores, {"groups": GROUPS, "labels": RIGHT}).backward()
    gradient = scores.grad[:, 0]
    expected = (softmax(SCORES.numpy()[:2, 0]) - [0, 1]) / 2
    np.testing.assert_allclose(gradient[:2].numpy(), expected, atol=1e-6)
    assert float(gradient[2:5].sum()) == pytest.approx(0.0, abs=1e-6) and gradient[5] == 0
    assert gradient.isfinite().all()


def test_questions_without_a_right_row_teach_nothing():
    scores = SCORES.clone().requires_grad_()
    loss = choice_loss(scores, {"groups": GROUPS, "labels": torch.zeros(6, dtype=torch.int64)})
    loss.backward()
    assert loss.item() == 0.0 and not scores.grad.any()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_choices_are_distilled_as_one_distribution_a_question(temperature):
    teacher = torch.tensor([[1.0], [-1.0], [0.3], [0.2], [0.1], [5.0]])
    spans = (slice(0, 2), slice(2, 5), slice(5, 6))
    pairs = [
        (softmax(teacher.numpy()[rows, 0] / temperature), softmax(SCORES.numpy()[rows, 0] / temperature))
        for rows in spans
    ]
    expected = temperature**2 * np.mean([entropy(t, s) for t, s in pairs])
    loss = ChoiceDivergence(temperature=temperature)
    scores = SCORES.clone().requires_grad_()
    found = loss(scores, {"groups": GROUPS, "teacher_logits": teacher})
    found.backward()
    assert found.item() == pytest.approx(expected, rel=1e-4) and scores.grad.isfinite().all()
    shifted = teacher + GROUPS[:, None]  # a constant within a question does not change it
    assert float(loss(SCORES, {"groups": GROUPS, "teacher_logits": shifted})) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_regression_is_measured_in_the_labels_variance(scale):
    labels = torch.tensor([1.0, 3.0, 5.0])
    loss = RegressionLoss(variance=float((labels * scale).var(unbiased=False)))
    mean = torch.full((3, 1), 3.0 * scale)
    assert float(loss(mean, {"labels": labels * scale})) == pytest.approx(1.0)


def test_one_example_is_a_regression_batch_too():
    assert float(RegressionLoss(variance=2.0)(torch.tensor([[3.0]]), {"labels": torch.tensor([1.0])})) == 2.0


def test_distillation_weighs_task_and_imitation():
    batch = {"labels": LABELS, "teacher_logits": TEACHER}
    loss = DistillationLoss(task=task_loss, imitation=Divergence(temperature=2.0), weight=0.9)
    expected = 0.1 * task_loss(STUDENT, batch) + 0.9 * divergence(STUDENT, TEACHER, 2.0)
    assert float(loss(STUDENT, batch)) == pytest.approx(float(expected), rel=1e-6)


def test_pure_imitation_needs_no_labels():
    loss = DistillationLoss(task=task_loss, imitation=Divergence(temperature=1.0), weight=1.0)
    value = loss(STUDENT, {"teacher_logits": TEACHER})
    assert float(value) == pytest.approx(float(divergence(STUDENT, TEACHER, 1.0)))


def test_distilling_a_regression_is_a_squared_error():
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [4.0]])
    loss = DistillationLoss(task=RegressionLoss(variance=2.0), imitation=OutputDistance(variance=2.0), weight=0.5)
    batch = {"labels": torch.tensor([1.0, 2.0]), "teacher_logits": teacher}
    assert float(loss(student, batch)) == pytest.approx(0.5 * 0.0 + 0.5 * 2.5 / 2.0)


def test_hidden_layers_of_equal_width_are_compared_in_the_teachers_mean_square():
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    teacher = 2.0 * torch.ones(2, 3, 4)
    student = teacher.clone()
    student[0, 0] += 1.0
    student[0, 2] = 99.0  # padding
    assert float(hidden_distance(teacher, teacher.half(), mask)) == 0.0
    assert float(hidden_distance(student, teacher, mask)) == pytest.approx(1 / 3 / 4)


def test_hidden_layers_of_other_widths_are_compared_by_the_cosines_of_tokens():
    mask = torch.tensor([[1, 1, 0]])
    teacher = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [7.0, 7.0]]])
    student = torch.tensor([[[3.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    # pairs of two tokens: twice with oneself (1 and 1), twice with the other (1 and 0)
    assert float(hidden_distance(student, teacher, mask)) == pytest.approx(0.5)
    rotated = torch.cat([teacher.flip(-1), torch.zeros(1, 3, 1)], dim=-1)
    assert float(hidden_distance(rotated, teacher, mask)) == pytest.approx(0.0, abs=1e-12)


def test_the_hidden_layer_is_one_more_term():
    hidden = {"teacher_hidden": torch.ones(2, 3, 1, 4), "student_hidden": torch.zeros(2, 3, 1, 4)}
    batch = {"labels": LABELS, "teacher_logits": TEACHER, "attention_mask": torch.ones(2, 3)}
    loss = DistillationLoss(task=task_loss, imitation=Divergence(temperature=1.0), weight=1.0, hidden_weight=0.5)
    plain = loss(STUDENT, batch)
    assert float(loss(STUDENT, batch | hidden)) == pytest.approx(float(plain) + 0.5)


def test_surrogate_errors_are_per_example_and_differ_by_the_teachers_entropy():
    kl = surrogate_errors(STUDENT, TEACHER, kind="kl")
    cross = surrogate_errors(STUDENT, TEACHER, kind="cross-entropy")
    teacher = softmax(TEACHER.numpy(), axis=1)
    expected = [entropy(t, s) for t, s in zip(teacher, softmax(STUDENT.numpy(), axis=1), strict=True)]
    np.testing.assert_allclose(kl.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose((cross - kl).numpy(), entropy(teacher, axis=1), rtol=1e-5)
    assert float(kl.mean()) == pytest.approx(float(divergence(STUDENT, TEACHER, 1.0)), rel=1e-5)


@pytest.mark.parametrize("kind", ["kl", "cross-entropy"])
def test_errors_of_a_choice_are_of_the_distribution_over_its_rows(kind):
    student, teacher = torch.tensor([[1.0], [2.0], [0.5], [-1.0], [3.0]]), torch.tensor([[0.0], [2.0], [1], [1], [-2]])
    found = choice_errors(student, teacher, torch.tensor([4, 4, 7, 7, 7]), kind=kind)
    expected = [
        surrogate_errors(student[rows].T, teacher[rows].T, kind=kind).item() for rows in (slice(0, 2), slice(2, 5))
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_loss_raises(value):
    with pytest.raises(DivergedError, match="at step 7"):
        require_finite(torch.tensor(value), 7)


def test_a_finite_loss_is_a_number():
    assert require_finite(torch.tensor(0.5, requires_grad=True), 0) == 0.5


def test_the_hidden_layers_count_as_a_mean_and_can_fade_out():
    batch = {"labels": LABELS, "teacher_logits": TEACHER, "attention_mask": torch.ones(2, 3)}
    batch |= {"teacher_hidden": torch.ones(2, 3, 4, 5), "student_hidden": torch.zeros(2, 3, 4, 5)}
    settings = {"task": task_loss, "imitation": Divergence(temperature=1.0), "weight": 1.0}
    plain = float(DistillationLoss(**settings)(STUDENT, batch))
    constant = DistillationLoss(**settings, hidden_weight=0.5)
    assert float(constant(STUDENT, batch)) == pytest.approx(plain + 0.5)  # whatever the number of layers
    fading = DistillationLoss(**settings, hidden_weight=0.5, hidden_decay=True)
    for progress, share in [(0.0, 1.0), (0.25, 0.75), (1.0, 0.0)]:
        found = float(fading(STUDENT, batch | {"progress": torch.tensor(progress)}))
        assert found == pytest.approx(plain + 0.5 * share)

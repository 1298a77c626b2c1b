"""The loop, on an academy that trains and grows nothing but keeps a diary."""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.optimize.hyperparameters import PUBLISHED, grid
from subarch.training.agora import Growth, Trained, agora, best_of

FOUR = grid(learning_rate=[1e-4, 1e-5], seed=[0, 1])
A, B, C, D = FOUR


@dataclass
class Diary:
    """An academy whose scores are given: by iteration and attempt, then by θ; the last row holds for what follows."""

    scores: dict[tuple[int, int], dict]
    added: dict[tuple[int, int], int] = field(default_factory=dict)
    seats: dict[tuple[int, int], int] = field(default_factory=dict)
    """How many trainings there is time for; all where absent."""
    lines: list[tuple] = field(default_factory=list)

    def train(self, iteration, attempt, thetas):
        self.lines.append(("train", iteration, attempt, tuple(thetas)))
        found = self.scores[(iteration, attempt)]
        seats = self.seats.get((iteration, attempt), len(thetas))
        return tuple(
            Trained(theta=theta, iteration=iteration, attempt=attempt, score=found[theta]) for theta in thetas[:seats]
        )

    def grow(self, best, attempt):
        self.lines.append(("grow", best.iteration, attempt, best.theta))
        return Growth(mistakes=3, produced=9, added=self.added.get((best.iteration, attempt), 6))

    def settle(self, iteration, attempt):
        self.lines.append(("settle", iteration, attempt))


def same(*scores):
    """The same score for all sets, iteration by iteration."""
    return {(number, 0): dict.fromkeys(FOUR, score) for number, score in enumerate(scores, 1)}


def of(first, second, third, fourth):
    return {A: first, B: second, C: third, D: fourth}


def test_the_seven_steps_in_their_order():
    scores = {(1, 0): of(0.6, 0.9, 0.7, 0.8), (2, 0): of(None, 0.7, None, 0.95)}
    academy = Diary({**scores, (3, 0): of(None, None, None, 0.91)})
    first, second, third = agora(FOUR, academy, rule="halving")
    assert academy.lines == [
        ("train", 1, 0, FOUR),
        ("grow", 1, 0, B),
        ("train", 2, 0, (B, D)),
        ("settle", 1, 0),
        ("grow", 2, 0, D),
        ("train", 3, 0, (D,)),
        ("settle", 2, 0),
    ]
    assert [each.number for each in (first, second, third)] == [1, 2, 3]
    assert [each.best.theta for each in (first, second, third)] == [B, D, D]
    assert first.pruned.removed == (A, C) and first.pruned.kept == (B, D) and first.pruned.root == A
    assert first.growth == Growth(mistakes=3, produced=9, added=6) and third.growth is None
    assert third.pruned.kept == ()
    best = best_of([each.best for each in (first, second, third)])
    assert (best.iteration, best.score) == (2, 0.95)  # of all iterations, not the last


def ended(iteration, score, held_out=None, error=0.0, theta=A):
    return Trained(theta=theta, iteration=iteration, attempt=0, score=score, held_out=held_out, error=error)


def test_sets_are_compared_on_all_of_it_and_iterations_on_what_nothing_grew_from():
    first, flattered, other = ended(1, 0.7, 0.7), ended(2, 0.95, 0.6), ended(2, 0.9, 0.8, theta=B)
    assert best_of([first, flattered, other]) is first
    assert best_of([first, other]) is other
    assert best_of([flattered, other]) is flattered


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=6))
def test_what_was_left_behind_is_never_taken_again(iterations):
    """So its weights need not be kept."""
    trained = [ended(number, 0.5, score / 9, error / 9) for number, (score, error) in enumerate(iterations, start=1)]
    for seen_most in (False, True):
        chosen = [best_of(trained[: n + 1], seen_most=seen_most).iteration for n in range(len(trained))]
        assert chosen == sorted(chosen)


def test_an_iteration_is_told_when_it_is_complete_and_before_the_next_begins():
    academy = Diary(same(0.5, 0.6, 0.7))
    iterations = agora(FOUR, academy, rule="halving")
    next(iterations)
    assert [line[0] for line in academy.lines] == ["train", "grow"]


def test_the_bound_of_the_analysis():
    found = list(agora(FOUR, Diary(same(0.5, 0.6, 0.7)), rule="halving"))
    assert [each.bound for each in found] == [0.5, 0.75, 0.875]


@given(st.integers(1, 12), st.sampled_from(["lcs", "root", "prefix", "halving"]), st.integers(0, 2), st.randoms())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_it_ends_when_no_set_is_left_within_as_many_iterations(count, rule, replays, random):
    thetas = PUBLISHED[:count]

    class Luck(Diary):
        def train(self, iteration, attempt, sets):
            self.scores[(iteration, attempt)] = {theta: random.choice([0.5, 0.6, 0.7]) for theta in sets}
            return super().train(iteration, attempt, sets)

    academy = Luck({})
    found = list(agora(thetas, academy, rule=rule, replays=replays))
    assert 1 <= len(found) <= count
    assert found[-1].pruned.kept == () and found[-1].growth is None
    assert all(each.growth is not None for each in found[:-1])
    for before, after in itertools.pairwise(found):
        assert {each.theta for each in after.trained} == set(before.pruned.kept)
        assert before.best.theta in before.pruned.kept  # the best one never leaves
    trained = [line for line in academy.lines if line[0] == "train"]
    assert len(trained) <= count * (1 + replays)
    highest = max(each.score for iteration in found for each in iteration.trained)
    assert best_of([iteration.best for iteration in found]).score == highest


def falling(*seconds):
    """A first iteration with 0.9, and the attempts of a second one, then a last one."""
    tries = {(2, number): of(None, score, None, score - 0.1) for number, score in enumerate(seconds)}
    return {(1, 0): of(0.1, 0.9, 0.2, 0.8), **tries, (3, 0): of(None, 1.0, None, None)}


@pytest.mark.parametrize(
    ("seconds", "replays", "attempts", "chosen"),
    [
        ((0.9,), 2, 1, 0),  # as good: nothing fell
        ((0.8, 0.95), 3, 2, 1),  # no longer below: it goes on
        ((0.8, 0.7, 0.6), 2, 3, 0),  # the cap; the best attempt counts
        ((0.7, 0.85, 0.8), 2, 3, 1),
        ((0.7, 0.7), 1, 2, 0),
        ((0.7,), 0, 1, 0),
    ],
)
def test_replay(seconds, replays, attempts, chosen):
    academy = Diary(falling(*seconds))
    found = list(agora(FOUR, academy, rule="halving", replays=replays))
    of_second = [line for line in academy.lines if line[0] == "train" and line[1] == 2]
    assert [line[2] for line in of_second] == list(range(attempts))
    assert {line[3] for line in of_second} == {(B, D)}
    assert [line for line in academy.lines if line[0] == "grow" and line[1] == 1] == [
        ("grow", 1, attempt, B) for attempt in range(attempts)
    ]
    assert ("settle", 1, chosen) in academy.lines
    assert found[1].attempt == chosen and found[1].best.score == max(seconds)
    assert {each.attempt for each in found[1].trained} == {chosen}


def test_a_replay_without_other_points_is_none():
    academy = Diary(falling(0.8), added={(1, 1): 0})
    found = list(agora(FOUR, academy, rule="halving", replays=3))
    assert [line[1:3] for line in academy.lines if line[0] == "train"] == [(1, 0), (2, 0), (3, 0)]
    assert found[1].attempt == 0 and ("settle", 1, 0) in academy.lines


def test_a_fall_is_one_below_the_iteration_before_and_not_below_the_best_of_all():
    scores = {(1, 0): of(0.9, 0.1, 0.1, 0.1), (2, 0): of(0.5, None, None, None), (2, 1): of(0.4, None, None, None)}
    academy = Diary({**scores, (3, 0): of(0.6, None, None, None)})
    list(agora((A,), academy, replays=1, iterations=3))
    assert [line[1:3] for line in academy.lines if line[0] == "train"] == [(1, 0), (2, 0), (2, 1), (3, 0)]


def test_with_one_set_it_iterates_as_often_as_told():
    academy = Diary(same(0.5, 0.6, 0.7))
    found = list(agora((C,), academy, iterations=3))
    assert [line[:2] for line in academy.lines] == [
        ("train", 1),
        ("grow", 1),
        ("train", 2),
        ("settle", 1),
        ("grow", 2),
        ("train", 3),
        ("settle", 2),
    ]
    assert all(each.pruned.kept == (C,) and each.pruned.removed == () for each in found)
    assert found[-1].growth is None
    assert len(list(agora((C,), Diary(same(0.5))))) == 1  # and else once


def test_several_sets_go_down_to_one_that_stays():
    found = list(agora(FOUR, Diary(same(0.5, 0.6, 0.7, 0.8, 0.9)), rule="halving", iterations=5))
    assert [len(each.trained) for each in found] == [4, 2, 1, 1, 1]


def test_an_end_after_so_many_iterations():
    academy = Diary(same(0.5, 0.6, 0.7))
    found = list(agora(FOUR, academy, rule="root", iterations=2))
    assert [len(each.trained) for each in found] == [4, 3] and found[-1].growth is None
    assert len(found[-1].pruned.kept) == 2


def test_it_ends_where_nothing_was_added():
    academy = Diary(same(0.5, 0.6, 0.7), added={(1, 0): 0})
    (only,) = agora(FOUR, academy, rule="root")
    assert only.growth.added == 0 and only.growth.mistakes == 3


@pytest.mark.parametrize("replays", [0, 2])
def test_it_ends_where_the_time_is_up(replays):
    academy = Diary(same(0.5, 0.6, 0.7), seats={(2, 0): 1})
    first, second = agora(FOUR, academy, rule="root", replays=replays)
    assert len(first.trained) == 4 and len(second.trained) == 1 and second.growth is None
    academy = Diary(same(0.9, 0.6, 0.7), seats={(2, 0): 0})
    (only,) = agora(FOUR, academy, rule="root", replays=replays)
    assert only.growth is not None
    assert academy.lines[-1] == ("settle", 1, 0)
    assert list(agora(FOUR, Diary(same(0.5), seats={(1, 0): 0}))) == []


@pytest.mark.parametrize(("seats", "score"), [(1, 0.85), (1, 0.3), (0, 0.85)])
def test_a_replay_for_which_the_time_does_not_last_is_the_last_attempt(seats, score):
    academy = Diary(falling(0.8, score, 0.7), seats={(2, 1): seats})
    found = list(agora(FOUR, academy, rule="halving", replays=5))
    assert [line[1:3] for line in academy.lines if line[0] == "train"] == [(1, 0), (2, 0), (2, 1)]
    better = seats and score > 0.8
    assert len(found) == 2 and found[1].growth is None and found[1].attempt == int(better)
    assert len(found[1].trained) == (1 if better else 2)


def test_where_all_diverged_there_is_nothing_to_learn_from():
    academy = Diary(same(None))
    (only,) = agora(FOUR, academy, rule="halving")
    assert only.best.score is None and only.growth is None
    assert [line[0] for line in academy.lines] == ["train"]
    later = list(agora(FOUR, Diary(same(0.5, None)), rule="halving"))
    assert best_of([each.best for each in later]).iteration == 1


def test_a_score_that_is_no_number_is_worse_than_any():
    academy = Diary({(1, 0): of(float("nan"), 0.2, None, 0.1), (2, 0): of(None, 0.3, None, float("nan"))})
    academy.scores[(3, 0)] = of(None, 0.3, None, None)
    first, *_ = agora(FOUR, academy, rule="halving")
    assert first.best.theta == B and set(first.pruned.removed) == {A, C}


def test_of_equal_scores_the_mistakes_are_those_of_a_set_that_stays():
    academy = Diary(same(0.5, 0.5, 0.5))
    found = list(agora(FOUR, academy, rule="halving"))
    for each in found[:-1]:
        assert each.best.theta == each.pruned.kept[0]
    best = best_of([each.best for each in found])
    assert best.iteration == 3  # which saw the most data


def trained(iteration, score, error):
    return Trained(theta=A, iteration=iteration, attempt=0, score=score, error=error)


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ([0.83, 0.79], 2),  # behind by less than the standard error of the first
        ([0.83, 0.77], 1),
        ([0.83, 0.80, 0.70], 2),
        ([0.83, None], 1),
        ([None, None], 2),
    ],
)
def test_of_scores_that_cannot_be_told_apart_the_model_that_has_seen_most(scores, chosen):
    rows = [trained(number, score, 0.05) for number, score in enumerate(scores, 1)]
    assert best_of(rows, seen_most=True).iteration == chosen
    assert best_of(rows[::-1], seen_most=True).iteration == chosen


def test_in_one_iteration_the_higher_score_wins_by_however_little():
    rows = [trained(1, 0.8, 0.1), trained(2, 0.76, 0.1), trained(2, 0.77, 0.1)]
    assert best_of(rows, seen_most=True).score == 0.77

import numpy as np
import pytest

from subarch.errors import ConfigError
from subarch.tasks.base import Examples
from subarch.training.augment.edits import Drop, Repeat
from subarch.training.augment.noise import Casing, Typing
from subarch.training.augment.points import transform
from subarch.training.augment.segments import Exchange
from subarch.training.augment.window import Window

WIDE = Window(low=0.0, high=1.0)


class Scripted:
    """Says what it is told, and remembers what it was asked."""

    def __init__(self, change, name="scripted"):
        self.change, self.name, self.asked = change, name, []

    def __call__(self, sources, rng):
        self.asked.append([source.text for source in sources])
        return [self.change(source.text, rng) for source in sources]


def numbered(text, rng):
    return f"{text} {int(rng.integers(10**9))}"


def texts(count):
    return Examples([f"the quiet river number {number} is green" for number in range(count)])


def run(examples, task, taus, *, each=1, window=WIDE, seed=0):
    return transform(examples, task, taus, each=each, window=window, rng=np.random.default_rng(seed))


def test_points_know_where_they_come_from(task_of):
    examples = Examples(["one", "two"], labels=np.array([0, 1]), columns={"id": ["a", "b"]})
    points = run(examples, task_of(pair=False), [Scripted(numbered, "x"), Scripted(numbered, "y")], each=2)
    assert points.examples.labels is None
    assert points.sources.tolist() == [0, 0, 1, 1] * 2
    assert points.transformations == ("x",) * 4 + ("y",) * 4
    assert points.examples.columns == {"id": ["a", "a", "b", "b"] * 2}
    assert [text.split()[0] for text in points.examples.texts] == ["one", "one", "two", "two"] * 2
    assert len(set(points.examples.text_keys())) == len(points) == 8


def test_the_same_seed_gives_the_same_points_and_another_tau_behind_changes_none(task_of):
    taus = [Drop(), Typing(), Repeat()]
    first, again, fewer, other = (
        run(texts(6), task_of(pair=False), used, each=2, seed=seed)
        for used, seed in ((taus, 1), (taus, 1), (taus[:2], 1), (taus, 2))
    )
    assert first.examples.texts == again.examples.texts != other.examples.texts
    assert first.examples.texts[: len(fewer)] == fewer.examples.texts


def test_either_side_of_a_pair_or_both_is_changed(task_of):
    examples = Examples(["left"] * 60, ["right"] * 60)
    points = run(examples, task_of(), [Scripted(numbered)]).examples
    sides = {(text != "left", pair != "right") for text, pair in zip(points.texts, points.pairs, strict=True)}
    assert sides == {(True, False), (False, True), (True, True)}


def test_a_side_that_cannot_be_changed_stays(task_of):
    examples = Examples(["left"] * 20, [f"right {n}" for n in range(20)])
    tau = Scripted(lambda text, rng: None if text == "left" else numbered(text, rng))
    points = run(examples, task_of(), [tau])
    assert set(points.examples.texts) == {"left"}
    assert points.counts["scripted"].nothing > 0


def test_the_window_refuses_and_tries_again(task_of):
    tau = Scripted(lambda text, rng: text if rng.random() < 0.5 else text.replace("green", "blue"))
    points = run(texts(40), task_of(pair=False), [tau], window=Window(attempts=3))
    counts = points.counts["scripted"]
    assert 1 < len(tau.asked) <= 3 and len(tau.asked[1]) == counts.asked - len(set(tau.asked[0]) - set(tau.asked[1]))
    assert counts.produced == counts.kept + counts.too_near
    assert counts.kept == len(points) > 20
    far = run(texts(3), task_of(pair=False), [Scripted(lambda text, rng: "all is new")], window=Window(attempts=2))
    assert (far.counts["scripted"].too_far, far.counts["scripted"].share_in_window, len(far)) == (6, 0.0, 0)


def test_texts_come_once_and_no_source_comes_back(task_of):
    examples = Examples(["one two", "one three"])
    same = run(examples, task_of(pair=False), [Scripted(lambda text, rng: "One  four")], each=3)
    assert same.examples.texts == ["One  four"]
    back = run(examples, task_of(pair=False), [Scripted(lambda text, rng: "ONE three")])
    assert back.examples.texts == ["ONE three"]  # its source in other capitals; for the other source a repetition
    assert back.counts["scripted"].repeated > 0


def test_capitals_alone_make_a_point(task_of):
    points = run(Examples(["Green River"]), task_of(pair=False), [Casing()], each=9)
    assert 2 <= len(points) <= 4 and set(points.examples.texts) <= {"green river", "GREEN RIVER", "green River"}


def test_a_group_stays_whole_and_its_shared_text_is_changed_once(task_of):
    examples = Examples(
        ["passage one"] * 3 + ["passage two"] * 2,
        ["a b", "c d", "e f", "g h", "i k"],
        groups=np.array([3, 3, 3, 8, 8]),
        columns={"id": list("vwxyz")},
    )
    tau = Scripted(numbered)
    points = run(examples, task_of(kind="choice"), [tau], each=6)
    new = points.examples
    assert np.bincount(new.groups).tolist() == [3] * 6 + [2] * 6
    assert new.columns["id"] == list("vwx") * 6 + list("yz") * 6
    for group in range(12):
        rows = np.flatnonzero(new.groups == group)
        assert len({new.texts[row] for row in rows}) == 1
        assert len({new.pairs[row] for row in rows}) == len(rows)
    assert max(sum(text == "passage one" for text in asked) for asked in tau.asked) <= 6
    assert points.counts["scripted"].kept == 12


def test_answers_of_a_group_that_become_one_are_refused(task_of):
    examples = Examples(["passage"] * 2, ["a b", "a c"], groups=np.array([0, 0]))
    tau = Scripted(lambda text, rng: None if text == "passage" else "a d")
    points = run(examples, task_of(kind="choice"), [tau])
    assert len(points) == 0 and points.counts["scripted"].lost > 0
    assert points.examples.groups.tolist() == [] and points.examples.pairs == []


def test_answers_survive_with_their_new_starts(task_of):
    context = "In summer the quiet sailor walked to a bright green harbour by the river, and the sailor sang."
    columns = {"id": ["q"], "answers": [["a bright green harbour", "harbour"]], "answer_starts": [[37, 52]]}
    assert context[37:].startswith("a bright green harbour") and context[52:].startswith("harbour")
    examples = Examples(["Where did the sailor go?"], [context], columns=columns)
    points = run(
        examples, task_of("squad1", kind="span"), [Drop(share=0.3), Repeat(share=0.3), Typing(share=0.5)], each=9
    )
    moved = [starts for starts in points.examples.columns["answer_starts"] if starts != [37, 52]]
    assert moved
    for pair, answers, starts in zip(
        points.examples.pairs, *(points.examples.columns[name] for name in ("answers", "answer_starts")), strict=True
    ):
        assert all(pair.startswith(answer, start) for answer, start in zip(answers, starts, strict=True))


def test_a_tau_that_breaks_what_is_protected_is_refused(task_of):
    examples = Examples(["by the * bank * ."], ["a * bank * ."])
    tau = Scripted(lambda text, rng: text.replace("*", ""))
    points = run(examples, task_of("wic"), [tau])
    assert len(points) == 0 and points.counts["scripted"].lost == points.counts["scripted"].produced > 0


def test_pairs_are_exchanged_in_spite_of_the_window(task_of):
    examples = Examples(["one two", "same"], ["three four", "same"])
    points = run(examples, task_of("mrpc"), [Exchange()], window=Window())
    assert (points.examples.texts, points.examples.pairs) == (["three four"], ["one two"])
    assert run(texts(2), task_of(pair=False), [Exchange()]).counts["segments"].nothing == 2 * WIDE.attempts


@pytest.mark.parametrize("taus", [[], [Scripted(lambda text, rng: None)]])
def test_nothing_is_no_error(task_of, taus):
    points = run(Examples(["a"], ["b"]), task_of(), taus)
    assert len(points) == 0 and points.sources.dtype == np.int64 and points.examples.pairs == []
    assert [count.asked for count in points.counts.values()] == [1] * len(taus)
    assert len(run(Examples([]), task_of(pair=False), taus)) == 0


def test_names_and_numbers_that_cannot_be(task_of):
    with pytest.raises(ConfigError, match="each name once"):
        run(texts(1), task_of(pair=False), [Drop(), Drop()])
    with pytest.raises(ConfigError, match="at least 1"):
        run(texts(1), task_of(pair=False), [Drop()], each=0)

import pytest

from subarch import terminal
from subarch.terminal import ProgressDisplay


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a display says of some events, without a terminal."""

    def show(*events, now=lambda: 1e9):
        monkeypatch.setattr(terminal.time, "monotonic", now)
        with ProgressDisplay() as display:
            for event in events:
                display(event)
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()

    return show


def test_phases_and_scores_are_lines(shown):
    assert shown(
        {"event": "phase", "name": "exporting", "detail": "onnx"},
        {"event": "phase", "name": "timing"},
        {"event": "evaluation", "stage": "distil sst2", "score": 0.91237, "step": 40, "progress": 0.5},
        {"event": "something new"},
    ) == ["exporting (onnx)", "timing", "distil sst2: validation 0.9124 after 40 steps"]


def test_steps_are_told_now_and_then(shown):
    clock = iter([1e9 + 10 * number for number in range(100)])
    step = {"event": "step", "stage": "distil", "loss": 0.5, "learning_rate": 1e-4, "step": 1, "seconds": 1.0}
    lines = shown(*({**step, "progress": number / 10} for number in range(8)), now=lambda: next(clock))
    assert 1 < len(lines) < 8 and lines[0].startswith("distil: 0%, loss 0.500")


def test_candidates_are_counted(shown):
    lines = shown({"event": "candidates", "total": 4}, {"event": "candidate", "done": 2})
    assert lines == ["search: 0%, 0 of 4 candidates"]  # the next line is due in 15 seconds


@pytest.mark.parametrize("text", ["a [bold]task[/bold] :smile: " + "long " * 40, "[/]"])
def test_words_are_shown_as_they_are(shown, text):
    assert shown({"event": "phase", "name": text}) == [text]


def test_a_terminal_gets_bars(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with ProgressDisplay() as display:
        display({"event": "step", "stage": "distil [x]", "loss": 0.5, "progress": 0.25, "step": 1})
        display({"event": "phase", "name": "timing"})
    out, err = capsys.readouterr()
    assert out == "" and "distil [x]" in err and "25 %" in err and "timing" in err and "loss 0.500" in err


def test_without_colours_where_the_user_wants_none(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    with ProgressDisplay() as display:
        display({"event": "phase", "name": "timing 12"})
    assert "\x1b[3" not in capsys.readouterr().err


def test_the_trials_of_a_search_are_told(shown):
    event = {"event": "trials", "done": 3, "total": 10, "front": 2, "best": {"f1": 0.5}, "seconds_left": 1200.0}
    assert shown(event) == ["search: 30%, 3 of 10 trials, front of 2: f1 0.5, 20 min left"]
    none = {**event, "front": 0, "best": {}, "seconds_left": None}
    assert shown(none) == ["search: 30%, 3 of 10 trials, nothing meets the thresholds yet"]
    assert shown({"event": "confirmed", "number": 7, "waiting": 2}) == ["confirmed trial 7, 2 more to confirm"]

from subarch.inputs.models import ModelFolder
from subarch.stages.finetuning.saving import _card
from subarch.tasks.base import Task


def test_labels_in_a_card_are_text(teachers):
    labels = ("<script>alert(1)</script>", "[a](http://b)", "two\n# lines", "**loud**")
    names = {"name": "own", "text": "text", "label": "label"}
    task = Task(**names, kind="classification", labels=labels, metrics=("accuracy",), main_metric="accuracy")
    card = _card("out", task, ModelFolder.of(teachers()))
    line = next(line for line in card.splitlines() if line.startswith("A model for the task"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in line and "<script>" not in card
    assert r"[a\](http://b)" in line and "two # lines" in line and r"\*\*loud\*\*" in line

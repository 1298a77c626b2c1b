"""What `extract --check` says."""

import pytest

from stages import tiny, tiny_shards
from subarch.api import configured
from subarch.stages.extraction.conditions import conditions, render
from subarch.stages.extraction.foresight import foresee

EVEN = "num_hidden_layers=2,4,6 hidden_size=16"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return tiny_shards.masked_lm(tmp_path_factory.mktemp("masked") / "teacher", num_hidden_layers=8)


@pytest.fixture
def found(teacher, tmp_path):
    def check(**settings):
        given = {"teacher": str(teacher), "corpus": "c", "out": tmp_path, "space": {"sizes": EVEN}, **settings}
        (config,) = configured("extract", given).args
        return {condition.name: condition for condition in conditions(config)}

    return check


def statuses(found):
    return {name: condition.status for name, condition in found.items()}


def test_the_papers_search_has_all_that_can_be_had(found):
    checked = statuses(found(preset="bort", timing={"sequence_lengths": [16]}))
    assert checked.pop("strong convexity") == "cannot be had"
    assert set(checked.values()) == {"holds"}


@pytest.mark.parametrize(
    ("depths", "status", "reason"),
    [
        ("2,4,6,8", "holds", "even"),
        ("1,2,4,8", "holds", "geometric"),
        ("3", "holds", "geometric"),
        ("1,2,3", "fails", "neither"),
        ("1,3,5", "fails", "neither"),
    ],
)
def test_depths_are_even_or_geometric(depths, status, reason, found):
    condition = found(space={"sizes": f"num_hidden_layers={depths} hidden_size=16"})["depths"]
    assert condition.status == status and reason in condition.detail


def test_another_optimiser_loses_the_strong_property_alone(found):
    checked = found()
    assert checked["optimiser"].status == "fails" and "adamw" in checked["optimiser"].detail
    assert statuses(checked) | {"optimiser": "holds"} == statuses(found(loop={"optimizer": "sgd"}))
    lines = render(list(checked.values())).splitlines()
    assert "weak ABⁿC: holds" in lines and "strong ABⁿC: fails for optimiser" in lines


def test_candidates_as_large_as_the_teacher_are_counted(found):
    sizes = "num_hidden_layers=2,8 hidden_size=32"
    condition = found(space={"sizes": sizes})["maximum point"]
    assert condition.status == "fails" and condition.detail.startswith("1 of 2 candidates have no fewer parameters")


def test_the_step_of_sgd_bounds_the_weights(found):
    loop = {"optimizer": "sgd", "learning_rate": 0.5, "clip_norm": 2.0}
    assert "no further than 7 from the start" in found(loop=loop, steps=7)["compact weights"].detail


def test_a_piecewise_activation_is_not_smooth(tmp_path):
    relu = tiny_shards.masked_lm(tmp_path / "relu", hidden_act="relu")
    settings = {"teacher": str(relu), "corpus": "c", "out": tmp_path, "space": {"sizes": "num_hidden_layers=2"}}
    checked = {c.name: c for c in conditions(configured("extract", settings).args[0])}
    assert checked["smooth loss"].status == "fails" and checked["smooth loss"].detail.startswith("relu")


def test_the_ratio_follows_from_epsilon(found):
    assert "|1 - epsilon| = 2" in found(epsilon=3)["interval"].detail
    assert "1 candidates are trained" in found(epsilon=3)["interval"].detail


def test_both_are_told_without_an_output_folder(teacher, tmp_path):
    settings = {"teacher": str(teacher), "train": tiny.classes(tmp_path / "rows.csv"), "out": tmp_path / "out"}
    (config,) = configured("extract", settings).args
    text, plain = foresee(config, check=True, estimate=True, hardware="v100")
    assert "weak ABⁿC" in text and "device hours" in text
    assert {condition["name"] for condition in plain["conditions"]} > {"depths", "optimiser"}
    assert plain["estimate"]["hardware"] == "v100" and not (tmp_path / "out").exists()

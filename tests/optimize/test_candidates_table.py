import numpy as np
import pytest

from subarch.errors import ConfigError
from subarch.optimize.domain import Choice, Exhausted, Float, Int, Table
from subarch.optimize.trials import Trial

ROWS = tuple(
    {"layers": layers, "rate": rate, "kind": kind} | ({"rank": 8} if kind == "factored" else {})
    for layers in (2, 4, 12)
    for rate in (0.1, 0.5)
    for kind in ("plain", "factored")
)


def test_columns_become_parameters():
    many = Table(
        tuple(
            {"n": n, "x": n / 7, "wide": 10.0**-n, "few": n % 3, "on": n % 2 == 0, "mix": n or "none"}
            for n in range(20)
        )
    ).parameters
    assert many["n"] == Int(low=0, high=19)
    assert many["x"] == Float(low=0.0, high=19 / 7)
    assert many["wide"] == Float(low=1e-19, high=1.0, log=True)
    assert many["few"] == Choice(values=(0, 1, 2), ordered=True)
    assert many["on"] == Choice(values=(True, False))
    assert isinstance(many["mix"], Choice) and not many["mix"].ordered


def test_what_a_row_lacks_is_inactive():
    table = Table(ROWS)
    kinds = [(feature.parameter, feature.kind) for feature in table.features]
    assert kinds[-2:] == [("rank", "ordinal"), ("rank", "activity")]
    encoded = table.encode_many(table.rows)
    assert encoded.shape == (12, len(kinds))
    assert set(encoded[:, -1]) == {0.0, 1.0}
    assert len(np.unique(encoded, axis=0)) == 12


def test_samples_points_and_neighbours_are_rows():
    table = Table(ROWS)
    rng = np.random.default_rng(0)
    drawn = [table.sample(rng) for _ in range(300)]
    assert all(row in drawn for row in ROWS)
    points = [table.from_unit(rng.random(4)) for _ in range(300)]
    assert all(row in points for row in ROWS)
    assert all(table.neighbours(row, rng, 0.3) in [other for other in ROWS if other != row] for row in drawn)


def test_a_small_scale_gives_the_nearest_row():
    table = Table(tuple({"x": float(x * x)} for x in range(30)))
    rng = np.random.default_rng(0)
    assert {table.neighbours({"x": 16.0}, rng, 0.0)["x"] for _ in range(20)} == {9.0}
    assert {table.neighbours({"x": 16.0}, rng, 1.0)["x"] for _ in range(400)} == {x * x for x in range(30)} - {16}


def test_one_row_is_its_own_neighbour():
    assert Table(({"x": 1},)).neighbours({"x": 1}, np.random.default_rng(0), 0.1) == {"x": 1}


def test_a_row_is_known_by_its_values_in_any_order():
    table = Table(ROWS)
    assert table.validate({"kind": "plain", "rate": 0.1, "layers": 2.0}) == ROWS[0]
    for params in ({"layers": 3, "rate": 0.1, "kind": "plain"}, {"layers": 2, "rate": 0.1}, {**ROWS[0], "rank": 8}):
        with pytest.raises(ConfigError, match="none of the table's 12 candidates"):
            table.validate(params)


def test_remaining_rows_and_their_end():
    table = Table(ROWS)
    trials = [Trial(number=n, params=row, state="failed" if n else "running") for n, row in enumerate(ROWS)]
    assert table.remaining([]) == table.rows
    assert table.remaining(trials[1:]) == (ROWS[0],)
    with pytest.raises(Exhausted, match="all 12 candidates of the table were tried"):
        table.remaining(trials)


def test_values_of_numpy_become_plain():
    (row,) = Table(({"a": np.float64(0.1), "b": np.bool_(True), "c": np.int64(3)},)).rows
    assert row == {"a": 0.1, "b": True, "c": 3}
    assert [type(value) for value in row.values()] == [float, bool, int]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((), "no rows"),
        (({},), "no parameters"),
        (({"a": 1}, {"a": 2}, {"a": 1.0}), "rows 0 and 2"),
        (({"a": float("nan")},), "row 0 of the table has a = nan"),
        (({"a": [1]},), r"a = \[1\]"),
    ],
)
def test_tables_that_cannot_be(rows, said):
    with pytest.raises(ConfigError, match=said):
        Table(rows)

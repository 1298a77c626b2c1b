import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subarch.errors import DataError
from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.prediction_files import read_predictions, save_predictions
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import score

METRICS = {
    "classification": ("accuracy", "f1_macro"),
    "regression": ("pearson", "spearman"),
    "choice": ("accuracy",),
    "span": ("f1", "exact_match"),
}


def task(kind="classification", labels=("neg", "pos", "odd")):
    labels = labels if kind == "classification" else ()
    names = METRICS[kind]
    return Task(name="t", kind=kind, labels=labels, text="x", label="y", metrics=names, main_metric=names[0])


def made(kind, count=40):
    """Examples of a kind, with predictions."""
    rng = np.random.default_rng(0)
    texts, ids = [f"text {n}" for n in range(count)], {"id": [f"q{n}" for n in range(count)]}
    if kind == "span":
        answers = [[] if n % 3 == 0 else [f"word {n}", "other"] for n in range(count)]
        said = [f"word {n + n % 2}" for n in range(count)]
        no_answer = rng.normal(size=count)
        no_answer[3] = np.inf
        return (
            Examples(texts, texts, columns={**ids, "answers": answers}),
            Predictions(texts=said, no_answer=no_answer, threshold=0.25),
        )
    width = 3 if kind == "classification" else 1
    labels = rng.normal(size=count).astype(np.float32) if kind == "regression" else rng.integers(width, size=count)
    groups = np.arange(count) // 4 if kind == "choice" else None
    if kind == "choice":
        labels = (np.arange(count) % 4 == 1).astype(np.int64)
    return Examples(texts, None, labels, groups, ids), Predictions(outputs=rng.normal(size=(count, width)))


@pytest.mark.parametrize("kind", METRICS)
def test_every_score_comes_again_from_the_file(kind, tmp_path):
    examples, said = made(kind)
    save_predictions(tmp_path / "p.parquet", task(kind), said, examples, {"length": np.array(["short"] * 40)})
    table = pq.read_table(tmp_path / "p.parquet")
    order = np.random.default_rng(1).permutation(40)
    pq.write_table(table.take(pa.array(order)), tmp_path / "turned.parquet")
    for name in ("p", "turned"):
        again = read_predictions(tmp_path / f"{name}.parquet", task(kind), examples)
        assert score(task(kind), again, examples, 0) == score(task(kind), said, examples, 0)
    assert {"id", "prediction", "gold", "slice_length"} <= set(table.column_names)


def test_equal_probabilities_do_not_hide_what_was_predicted(tmp_path):
    examples = Examples(["a"], labels=np.array([1]))
    close = Predictions(outputs=np.array([[0.0, np.nextafter(0.0, 1), -1.0]]))
    save_predictions(tmp_path / "p.parquet", task(), close, examples)
    assert read_predictions(tmp_path / "p.parquet", task(), examples).outputs.argmax() == 1


def test_classes_come_in_the_order_of_the_task(tmp_path):
    examples, said = made("classification")
    save_predictions(tmp_path / "p.parquet", task(), said, examples)
    turned = task(labels=("odd", "neg", "pos"))
    renumbered = Examples(examples.texts, labels=np.array([1, 2, 0])[examples.labels], columns=examples.columns)
    again = read_predictions(tmp_path / "p.parquet", turned, renumbered)
    assert (again.outputs.argmax(1) == np.array([1, 2, 0])[said.outputs.argmax(1)]).all()


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_a_file_of_ids_and_predictions_will_do(tmp_path):
    examples = Examples(["a", "b", "c"], labels=np.array([0, 1, 2]))
    path = write(tmp_path / "p.parquet", id=[2, 0, 1], prediction=["odd", "neg", "odd"])
    assert read_predictions(path, task(), examples).outputs.argmax(1).tolist() == [0, 2, 2]
    questions = Examples(["q"], ["c"], columns={"id": ["x"], "answers": [["a"]]})
    path = write(tmp_path / "s.parquet", id=["x"], prediction=["a"])
    assert read_predictions(path, task("span"), questions) == Predictions(texts=["a"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"id": ["0", "1", "1"], "prediction": ["neg"] * 3},
            "of its 3 ids 1 occur twice (1), 1 are missing (2), expect",
        ),
        ({"id": ["0", "1", "7", "8"], "prediction": ["neg"] * 4}, "1 are missing (2), 2 are unknown (7, 8)"),
        ({"id": ["0", "1", "2"]}, "has no column 'prediction', but id"),
        (
            {"id": ["0", "1", "2"], "prediction": ["neg", "bad", "worse"]},
            "2 predictions are no class of t (bad, worse)",
        ),
        (
            {"id": ["0", "1", "2"], "prediction": ["neg"] * 3, "gold": ["neg", "neg", "odd"]},
            "the gold answers of 1 ids are not those of the data (1)",
        ),
        (
            {"id": ["0", "1", "2"], "prediction": ["neg"] * 3, "probabilities": [[0.5, 0.5]] * 3},
            "probabilities of other classes",
        ),
    ],
)
def test_files_that_cannot_be(columns, message, tmp_path):
    examples = Examples(["a", "b", "c"], labels=np.array([0, 1, 2]))
    with pytest.raises(DataError) as caught:
        read_predictions(write(tmp_path / "p.parquet", **columns), task(), examples)
    assert message in caught.value.message and "\n" not in caught.value.message


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(DataError, match="is no file"):
        read_predictions(tmp_path / "p.parquet", task(), Examples(["a"]))
    (tmp_path / "p.parquet").write_text("id,prediction")
    with pytest.raises(DataError, match="is no readable Parquet file"):
        read_predictions(tmp_path / "p.parquet", task(), Examples(["a"]))


def test_numbers_that_are_none(tmp_path):
    examples = Examples(["a", "b"], labels=np.zeros(2, np.float32))
    path = write(tmp_path / "p.parquet", id=["0", "1"], prediction=[1.0, float("nan")])
    with pytest.raises(DataError, match="'prediction' holds what is no finite number"):
        read_predictions(path, task("regression"), examples)

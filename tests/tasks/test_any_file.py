"""Whatever a file holds, it is a task, or one line says why not."""

import csv
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subarch.errors import UserError
from subarch.tasks.custom import load_files


def times(count):
    """Of the thousand files of this module, so many; those of JSON take longest to draw."""
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def put(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


LABELS = ["a", "b", "1", "01", "1.0", "1e5", "1,5", "nan", "NULL", "true", "False", 1, 1.5, 2**60, 1e300]

words = st.text(max_size=8)
cells = words | st.integers() | st.floats() | st.booleans() | st.none() | st.sampled_from(LABELS)
json_values = cells | st.lists(cells, max_size=2) | st.dictionaries(words, cells, max_size=2)


def told(path):
    """A file is a task, or one line says why not."""
    try:
        return load_files(path)
    except UserError as error:
        assert "\n" not in error.message and not error.message.endswith(".")
        return None


@given(st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz"]), st.binary(max_size=200))
@times(350)
def test_any_bytes_are_a_table_or_a_line(tmp_path, suffix, raw):
    told(put(tmp_path, f"t{suffix}", raw))


@given(st.sampled_from(["utf-8", "utf-16", "utf-16-le"]), st.text(alphabet="ab,;|\t\r\n\"\0='1.é\u200b", max_size=200))
@times(300)
def test_any_text_is_a_table_or_a_line(tmp_path, encoding, text):
    told(put(tmp_path, "t.csv", f"text,label\n{text}".encode(encoding)))
    told(put(tmp_path, "t.tsv", f"text\tlabel\n{text}".encode(encoding)))


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"text": json_values, "label": json_values, "x": json_values}), max_size=12
    )
)
@times(100)
def test_any_json_values_are_a_table_or_a_line(tmp_path, rows):
    told(put(tmp_path, "t.jsonl", "\n".join(map(json.dumps, rows))))


@given(st.lists(cells, min_size=30, max_size=30), st.booleans())
@times(250)
def test_any_labels_are_classes_or_scores_or_a_line(tmp_path, labels, written):
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    path = put(tmp_path, "t.jsonl", "\n".join(map(json.dumps, rows)))
    if written:
        path = tmp_path / "t.csv"
        with open(path, "w", newline="", encoding="utf-8", errors="surrogatepass") as file:
            csv.writer(file).writerows([("text", "label"), *((row["text"], row["label"]) for row in rows)])
    data = told(path)
    if data is not None and data.task.labels:
        spelled = {str(row["label"]).strip() for row in rows} if written else set(data.task.labels)
        assert {name.lower() for name in data.task.labels} <= {name.lower() for name in spelled}

"""What the delivery says of the exports."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subarch.stages.compression.delivery import agreements


@pytest.mark.parametrize(("scored_by_export", "onnx"), [(False, 0.75), (True, 0.9)])
def test_an_export_that_scored_the_student_is_not_compared_with_itself(tmp_path, scored_by_export, onnx):
    for name, said in {"student": [0, 1, 1, 0], "onnx": [0, 1, 1, 1], "onnx-int8": [1, 0, 1, 0]}.items():
        (tmp_path / "evaluation" / name).mkdir(parents=True)
        pq.write_table(pa.table({"prediction": said}), tmp_path / "evaluation" / name / "predictions.parquet")
    (tmp_path / "export").mkdir()
    (tmp_path / "export/result.json").write_text(json.dumps({"metrics": {"onnx": {"agreement": 0.9}}}))
    assert agreements(tmp_path, scored_by_export=scored_by_export) == {"onnx": onnx, "onnx-int8": 0.5}

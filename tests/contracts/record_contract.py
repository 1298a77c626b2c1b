"""What every record promises to those who write to it; `keeps` says whether it can be read back."""

import math

import pytest

from subarch.errors import ConfigError, InterruptedRun


class RecordContract:
    keeps = True

    def make(self):
        raise NotImplementedError

    def test_a_run_is_written_and_read(self):
        record = self.make()
        config = {"seed": 1, "optim": {"lr": 0.1}, "layers": [2, 4], "name": None, "empty": {}}
        with record.start("finetune", name="rte", config=config) as run:
            run.tags({"colour": "blue"})
            run.log({"loss": 2.0}, step=0)
            run.log({"loss": 1.0, "accuracy": 0.5}, step=1)
        assert (run.run_id is not None) == self.keeps
        if not self.keeps:
            return
        (read,) = record.runs()
        expected = {"seed": "1", "optim.lr": "0.1", "layers": "[2, 4]", "name": "None", "empty": "{}"}
        assert read["params"] == expected
        assert read["metrics"] == {"loss": 1.0, "accuracy": 0.5}
        assert (read["run_id"], read["name"], read["stage"]) == (run.run_id, "rte", "finetune")
        assert (read["status"], read["error"], read["parent"]) == ("FINISHED", None, None)
        assert read["started"] <= read["ended"]
        assert read["tags"]["colour"] == "blue"

    def test_a_curve_has_every_point_by_step(self):
        record = self.make()
        with record.start("finetune", name="curve", config={}) as run:
            for step in range(250):  # more than one batch
                run.log({"loss": float(step)}, step=step)
        curve = record.history(run.run_id, "loss")
        assert curve == ([(step, float(step)) for step in range(250)] if self.keeps else [])

    def test_runs_nest_and_are_found(self):
        record = self.make()
        with record.start("compress", name="all", config={}) as outer:
            for name in ("first", "second"):
                with record.start("finetune", name=name, config={}, parent=outer.run_id):
                    pass
            with record.start("export", name="third", config={}, parent=outer.run_id):
                pass
        if not self.keeps:
            assert record.runs() == []
            return
        assert {run["name"] for run in record.runs()} == {"all", "first", "second", "third"}
        assert {run["name"] for run in record.runs(stage="finetune")} == {"first", "second"}
        assert {run["name"] for run in record.runs(parent=outer.run_id)} == {"first", "second", "third"}
        assert [run["name"] for run in record.runs(stage="export", parent=outer.run_id)] == ["third"]
        assert record.runs(stage="export", parent="0" * 32) == []

    def test_a_failure_is_told_with_its_traceback(self):
        record = self.make()
        with pytest.raises(ConfigError), record.start("finetune", name="bad", config={}) as run:
            run.log({"loss": 1.0}, step=0)
            raise ConfigError("got one, expected two", "write two")
        if self.keeps:
            (read,) = record.runs()
            assert read["status"] == "FAILED"
            assert read["error"] == "subarch.errors.ConfigError: got one, expected two"
            assert "test_a_failure_is_told" in read["traceback"]
            assert record.history(run.run_id, "loss") == [(0, 1.0)]

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), InterruptedRun("stopped by the user")])
    def test_a_stop_is_no_failure(self, error):
        record = self.make()
        with pytest.raises(type(error)), record.start("finetune", name="stopped", config={}):
            raise error
        if self.keeps:
            (read,) = record.runs()
            assert (read["status"], read["error"]) == ("KILLED", None)

    def test_a_run_that_failed_goes_on(self):
        record = self.make()
        with pytest.raises(ValueError), record.start("finetune", name="a", config={"lr": 1}) as first:
            first.log({"loss": 3.0}, step=1)
            first.log({"loss": 2.0}, step=2)
            raise ValueError("no luck")
        with record.start("finetune", name="a", config={"lr": 1}, run_id=first.run_id) as again:
            if self.keeps:
                assert record.runs()[0]["status"] == "RUNNING"
                assert record.runs()[0]["ended"] is None
            again.log({"loss": 1.5}, step=2)
            again.log({"loss": 1.0}, step=3)
        assert again.run_id == first.run_id
        if self.keeps:
            (read,) = record.runs()
            assert (read["status"], read["error"], read["traceback"]) == ("FINISHED", None, None)
            assert record.history(first.run_id, "loss") == [(1, 3.0), (2, 1.5), (3, 1.0)]

    def test_a_run_may_end_early_and_once(self):
        record = self.make()
        with record.start("finetune", name="a", config={}) as run:
            run.finish("KILLED")
        assert [read["status"] for read in record.runs()] == (["KILLED"] if self.keeps else [])

    def test_strange_numbers_and_names(self):
        record = self.make()
        with record.start("finetune", name="strange", config={"a[0]": "x" * 9000, "": "empty"}) as run:
            run.log({"up": math.inf, "down": -math.inf, "none": math.nan, "f1@k": 1, "../up": 2.0}, step=0)
            run.tags({"long": "x" * 9000 + "end"})
        if self.keeps:
            (read,) = record.runs()
            assert read["metrics"]["up"] == math.inf
            assert read["metrics"]["down"] == -math.inf
            assert math.isnan(read["metrics"]["none"])
            assert record.history(run.run_id, "f1@k") == [(0, 1.0)]
            assert read["params"]["a_0_"] == "x" * 6000
            assert read["tags"]["long"].endswith("end")

    def test_files_are_taken(self, tmp_path):
        record = self.make()
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "inside.txt").write_text("inside")
        with record.start("export", name="files", config={}) as run:
            run.artifact(tmp_path / "folder")
            run.artifact(tmp_path / "folder" / "inside.txt")

    def test_a_conclusion_is_written_at_once(self):
        record = self.make()
        run = record.start("finetune", name="last", config={})
        for step in range(1, 150):  # more than fits with what comes
            run.log({"loss": 1.0, "accuracy": 0.5}, step=step)
        run.conclude({"score": 0.25}, 0, {"colour": "blue"}, "Traceback\nValueError: no luck\nhint: try again")
        if self.keeps:  # before the run ends
            (read,) = record.runs()
            assert read["metrics"] == {"loss": 1.0, "accuracy": 0.5, "score": 0.25}
            assert (read["tags"]["colour"], read["error"]) == ("blue", "ValueError: no luck")
            assert len(record.history(run.run_id, "loss")) == 149
        run.finish("FAILED")

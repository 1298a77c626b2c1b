"""The command line in a process of its own that can be killed, without the ten seconds that its imports take.

It is forked from a process that has imported everything and done nothing.
"""

import multiprocessing
import os
import sys
import time
from pathlib import Path

# As `subarch` itself sets it, before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store", "onnxruntime.quantization", "onnxscript"),
        *("sklearn.linear_model", "subarch.stages.compress", "subarch.stages.pretrain", "torch.onnx"),
    ]
)


class Started:
    """`subarch WORDS`, as `subprocess.Popen` would have started it; what it says goes to two files of `folder`."""

    def __init__(self, words, environment, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._said = [Path(folder) / "stdout", Path(folder) / "stderr"]
        settings = {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
        paths = list(map(str, self._said))
        # A daemon: where a test fails, what it started does not keep the tests from ending.
        self._process = CONTEXT.Process(target=_run, args=(list(map(str, words)), settings, paths), daemon=True)
        self._process.start()

    @property
    def returncode(self):
        """None while it runs; less than 0, the signal that ended it."""
        return self._process.exitcode

    def said(self):
        """stdout and stderr so far."""
        return tuple(path.read_text() if path.exists() else "" for path in self._said)

    def wait_for(self, file, seconds=120):
        """Return as soon as the file is there."""
        limit = time.monotonic() + seconds
        while not file.exists():
            assert self.returncode is None, self.said()
            assert time.monotonic() < limit
            time.sleep(0.002)

    def send_signal(self, number):
        """To the process alone."""
        os.kill(self._process.pid, number)

    def ended(self, seconds=120):
        """stdout and stderr, once it has ended."""
        self._process.join(seconds)
        assert self.returncode is not None, self.said()
        return self.said()


def _run(words, environment, paths):
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(paths, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    sys.argv = ["subarch", *words]
    from subarch.cli import main

    main()

import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

import contracts.executor_contract
from contracts.executor_contract import ExecutorContract, double, return_what_cannot_travel, sleep_through
from subarch.errors import ConfigError, MissingExtraError, SubarchError
from subarch.running.executor import WorkerLost
from subarch.running.ray_executor import RayExecutor

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        # Read by the workers, which find the functions of the contract there.
        patch.setenv("PYTHONPATH", str(Path(contracts.executor_contract.__file__).parents[1]), prepend=os.pathsep)
        with RayExecutor("local", workers=2, cpus=0.5) as two, RayExecutor(workers=1, cpus=0.5) as one:
            yield {1: one, 2: two}


@pytest.fixture
def one(cluster):
    return cluster[1]


class TestRayExecutor(ExecutorContract):
    @pytest.fixture(autouse=True)
    def executors(self, cluster):
        self.cluster = cluster

    def make(self, workers=2):
        return self.cluster[workers]


def test_a_value_that_cannot_travel_is_a_failure(one):
    failed, fine = one.map(return_what_cannot_travel, [1, 2])
    assert "pickle" in str(failed.error) and fine.failed


def test_an_item_that_cannot_be_read_is_a_failure(one):
    failed, fine = one.map(double, [Unreadable(), 2])
    assert isinstance(failed.error, ZeroDivisionError) and fine.result() == 4


def test_workers_of_a_cluster_of_our_own_are_as_nice_as_we_are(one):
    (niceness,) = [outcome.result() for outcome in one.map(eval, ["__import__('os').nice(0)"])]
    assert niceness == os.nice(0)


class Unreadable:
    def __reduce__(self):
        return divmod, (1, 0)


def test_workers_are_kept_between_maps_and_replaced_when_killed(one):
    question = "__import__('os').getpid()"
    (first,) = [outcome.result() for outcome in one.map(eval, [question])]
    lost, fine = one.map(eval, ["__import__('os').kill(__import__('os').getpid(), 9)", question])
    assert isinstance(lost.error, WorkerLost) and "\n" not in lost.error.message
    assert os.getpid() != fine.result() != first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_what_does_not_listen_is_ended(one, monkeypatch):
    monkeypatch.setattr("subarch.running.ray_executor._GRACE", 0.3)
    outcomes = one.map(sleep_through, [0, 60], on_event=print)
    assert next(outcomes).result() == 0
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 5


def test_more_workers_than_the_cluster_holds(cluster):
    with pytest.raises(
        ConfigError, match=r"999 workers with 1 CPUs and 0 GPUs each do not fit: .* holds \d+, on 1 nodes"
    ):
        RayExecutor(workers=999)
    with pytest.raises(ConfigError, match=r"1 workers with 1 CPUs and 3 GPUs each do not fit: .* holds 0"):
        RayExecutor(gpus=3)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"cpus": 0}, {"gpus": -1}])
def test_numbers_make_sense(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is"):
        RayExecutor(**wrong)


@pytest.mark.parametrize("address", ["here", "host:", ":6379", "host:port", "ray://host"])
def test_an_address_that_is_none(address):
    with pytest.raises(ConfigError, match="the Ray address is") as caught:
        RayExecutor(address)
    assert "HOST:PORT" in caught.value.hint


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_listens_is_refused_soon(scheme):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(ConfigError, match="nothing listens at the Ray address"):
        RayExecutor(f"{scheme}127.0.0.1:{port}")
    assert time.monotonic() - start < 5


def test_another_server_is_no_head():
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close() or server.accept()[0].close())
        thread.start()
        with pytest.raises(ConfigError, match="is no Ray head"):
            RayExecutor(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_a_head_is_found_by_its_address(cluster):
    address = ray.get_runtime_context().gcs_address
    with RayExecutor(address, workers=1, cpus=0.5) as executor:
        assert [outcome.result() for outcome in executor.map(double, [4])] == [8]
    assert ray.is_initialized()  # it is not the one that started the cluster


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError) as caught:
        RayExecutor()
    assert caught.value.hint == 'pip install "subarch[ray]"'


def test_a_lost_head_is_one_line_and_soon(one, monkeypatch):
    outcomes = one.map(sleep_through, [0.1, 60], on_event=print)
    assert next(outcomes).result() == 0.1
    monkeypatch.setattr("subarch.running.ray_cluster._PROBE", 0.05)
    monkeypatch.setattr("subarch.running.ray_cluster._listens", lambda place: False)
    with pytest.raises(SubarchError, match="the Ray head was lost") as caught:
        next(outcomes)
    assert "the same command resumes" in caught.value.hint

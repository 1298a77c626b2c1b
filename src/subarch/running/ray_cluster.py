"""The connection to a Ray cluster: reached in bounded time or refused in one line, and watched while it is used."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

from subarch.errors import ConfigError, SubarchError

_PROBE = 3.0
"""Seconds within which a head answers, and between two looks at whether it still does."""
_PROBES = 3
"""Looks in vain after which the head is lost; Ray itself waits a minute and then ends the driver where it stands."""
_OBJECT_STORE = 128 * 2**20
"""Bytes of a cluster of our own: data lies on disk, only items and values travel."""


class Cluster:
    """The connection to a cluster.

    Args:
        ray: The module; one that is connected already stays so.
        address: As `RayExecutor` takes it.

    Raises:
        ConfigError: The address is none, or does not answer.
    """

    def __init__(self, ray: Any, address: str | None) -> None:
        self.lost = False
        """Whether the head is gone: calls of Ray would wait for it in vain."""
        if address is not None and address not in ("local", "auto"):
            _probe(address)
        self.ray = ray
        self._own = not self.ray.is_initialized()
        """Whether we connected, and so are to part."""
        if self._own:
            _connect(self.ray, "local" if address is None else address)
        self._vital = [_host_and_port(address)] if str(address).startswith("ray://") else self._own_ports()
        self._looked = time.monotonic()
        self._missed = 0

    def _own_ports(self) -> list[tuple[str, int]]:
        """Where the head and this machine's part of the cluster listen."""
        context = self.ray.get_runtime_context()
        own = [node for node in self.ray.nodes() if node["NodeID"] == context.get_node_id()]
        return [_host_and_port(context.gcs_address), *((n["NodeManagerAddress"], n["NodeManagerPort"]) for n in own)]

    def hold(self, workers: int | None, cpus: float, gpus: float) -> int:
        """How many workers there will be.

        Raises:
            ConfigError: They do not fit.
        """
        resources = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        fit = sum(
            int(min(node.get("CPU", 0) / cpus, node.get("GPU", 0) / gpus if gpus else float("inf")))
            for node in resources
        )
        if fit < (workers or 1):
            raise ConfigError(
                f"{workers or 1} workers with {cpus:g} CPUs and {gpus:g} GPUs each do not fit: "
                f"the Ray cluster holds {fit}, on {len(resources)} nodes",
                "ask for fewer workers, or wait until the nodes are up: ray status",
            )
        return workers or fit

    def watch(self) -> None:
        """Look now and then whether the head is still there.

        Raises:
            SubarchError: It is not.
        """
        if time.monotonic() < self._looked + _PROBE:
            return
        self._missed = 0 if all(map(_listens, self._vital)) else self._missed + 1
        self._looked = time.monotonic()
        if self._missed >= _PROBES:
            raise self.gone()

    def ensure(self) -> None:
        """Make sure that the head is there, before a call that would wait for it.

        Raises:
            SubarchError: It is not.
        """
        for _ in range(_PROBES):
            if all(map(_listens, self._vital)):
                return
            time.sleep(_PROBE / 3)
        raise self.gone()

    def gone(self) -> SubarchError:
        """The error of a lost head."""
        self.lost = True
        return SubarchError("the Ray head was lost", "start the cluster again; then the same command resumes")

    def leave(self) -> None:
        """Part from the cluster; one that was started here ends with that."""
        if self._own and not self.lost:
            self._own = False
            self.ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE, "_node_ip_address": "127.0.0.1"}
        # By default (15) Ray's workers give way to everything else; ours are what the user waits for.
        options["_system_config"] = {"worker_niceness": 0}
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, ImportError, TimeoutError, ray.exceptions.RayError) as error:
        # To an address that is given, Ray sends its token only where it is told to. The reason hides in the chain.
        if any("AuthToken" in str(cause) for cause in (error, *_causes(error))):
            raise ConfigError(
                f"the Ray cluster at {address} asks for a token",
                "set RAY_AUTH_MODE=token; the token lies in ~/.ray/auth_token of the head, or in RAY_AUTH_TOKEN",
            ) from error
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(
            f"no Ray cluster to work with at {address}: {reason}",
            "start one with `ray start --head`, or give the HOST:PORT that it names",
        ) from error
    # Ray prints walls of text about lost workers to the standard output, where our answer belongs; we report them.
    ray._private.worker._worker_logs_enabled = False


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__ or error.__context__
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _probe(address: str) -> None:
    """Ray itself waits for minutes for a head that is not there, and fills the screen."""
    place = _host_and_port(address)
    if not _listens(place):
        raise ConfigError(
            f"nothing listens at the Ray address {address}", "is the head running, and is its port open? ray status"
        )
    if not (os.environ.get("RAY_USE_TLS", "0") != "0" or _speaks_http2(place)):
        raise ConfigError(
            f"what listens at the Ray address {address} is no Ray head",
            "`ray start --head` names the port: 6379 on a node of the cluster, ray://HOST:10001 from outside",
        )


def _host_and_port(address: str | None) -> tuple[str, int]:
    host, colon, port = str(address).removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise ConfigError(f"the Ray address is {address!r}", "write HOST:PORT, ray://HOST:PORT, auto or local")
    return host.strip("[]"), int(port)


def _listens(place: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(place, timeout=_PROBE):
            return True
    except (OSError, OverflowError):
        return False


def _speaks_http2(place: tuple[str, int]) -> bool:
    """Whether a server greets as gRPC's do: RFC 9113, section 3.4."""
    empty_settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    try:
        with socket.create_connection(place, timeout=_PROBE) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings)
            greeting = connection.recv(9)
    except OSError:
        return False
    return len(greeting) == 9 and greeting[3] == empty_settings[3]

"""The Ray cluster a command works on: joined where there is one, else started on this machine and ended with it."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ConfigError, ScrimpError, TryAgainError, UsageError
from scrimp.profiles.files import new_file
from scrimp.profiles.installer import how_to_add
from scrimp.profiles.keys import known_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cluster", "check_installed", "join", "leave", "not_there"]

_SAID: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # below `uv run`, Ray would have each worker make an environment of its own
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
"""What Ray is told by variables: it reports to nobody, and says what goes wrong only."""


_KNOWN_HERE: Final = Path("/tmp/ray/ray_current_cluster")  # noqa: S108 - Ray's own
"""Where `ray start` leaves the address of the cluster that a machine is part of."""

_ANSWERS_S: Final = 10.0

_TOKEN: Final = secrets.token_hex(32)
"""What a cluster of one's own is joined with: one for a process, since Ray reads it once."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process is part of.

    Attributes
    ----------
    own
        It was started by this command, on this machine, and ends with it.
    folder
        Where one's own has its sockets and logs (0700).
    """

    own: bool
    folder: Path | None = None


_joined: Cluster | None = None


def check_installed() -> None:
    """Refuse what needs Ray where it is not installed.

    Raises
    ------
    ConfigError
        If so.
    """
    try:
        with _quietly():
            import ray
            import ray.data  # noqa: F401
    except ImportError as error:
        missing = "ray" if error.name is None else error.name.partition(".")[0]
        raise ConfigError(f"--on ray needs Ray: {missing} is not installed", hint=how_to_add("ray")) from None


def join(address: str | None) -> Cluster:
    """Join the cluster at an address; without one that which `RAY_ADDRESS` or this machine has, else start one here.

    Called again, this returns what was joined.

    Parameters
    ----------
    address
        `HOST:PORT`, `auto` for the one that this machine is part of, or `local` for a new one.

    Raises
    ------
    ConfigError
        If Ray is not installed, or the cluster's release of it or of Python is another one.
    TryAgainError
        If no cluster answers at the address, or none can be started.
    UsageError
        If the address is one of Ray Client's.
    """
    global _joined  # noqa: PLW0603 - a process is part of one cluster
    check_installed()
    import ray

    if _joined is not None:
        return _joined
    if ray.is_initialized():  # by whoever calls this from Python: theirs to end
        return Cluster(own=False)
    wanted = address or os.environ.get("RAY_ADDRESS") or None
    if wanted is not None and wanted.startswith("ray://"):
        raise UsageError(
            f"--address {wanted} is Ray Client's, which is not spoken",
            hint="Start the run on a machine of the cluster (`ray job submit`, or by hand) with --address auto.",
        )
    if wanted is None and _KNOWN_HERE.exists():
        wanted = "auto"
    if wanted not in (None, "local"):
        _check_answers(wanted)
    with _quietly():
        _joined = _start() if wanted in (None, "local") else _connect(wanted)
    atexit.register(leave)
    return _joined


def leave() -> None:
    """Leave the cluster that `join` joined; one's own ends."""
    global _joined
    if _joined is None:
        return
    import ray

    cluster, _joined = _joined, None
    with _quietly():
        ray.shutdown()
    if cluster.folder is not None:
        shutil.rmtree(cluster.folder, ignore_errors=True)
    atexit.unregister(leave)


def not_there(error: BaseException) -> ScrimpError | None:
    """Return the error that says so, if one came of scrimp not being on a node."""
    if "No module named 'scrimp" not in str(error):
        return None
    from importlib.metadata import version

    return ConfigError(
        "scrimp is not installed on a node of the cluster",
        hint=f"Install the same release there, with the same Python: pip install 'scrimp[ray]=={version('scrimp')}'",
    )


def _check_answers(address: str) -> None:
    """Refuse an address at which nothing listens: Ray itself would try for minutes.

    Raises
    ------
    TryAgainError
        If so.
    """
    at = address
    if at == "auto":
        try:
            at = os.environ.get("RAY_ADDRESS") or _KNOWN_HERE.read_text().strip()
        except OSError:
            return  # Ray has other ways to find one
    host, colon, port = at.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS_S).close()
    except OSError as error:
        raise TryAgainError(
            f"no Ray cluster answers at {at}: {error.strerror or error}",
            hint="--address local starts one on this machine, for this run.",
        ) from None


def _connect(address: str) -> Cluster:
    import ray
    from ray.exceptions import RayError

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise TryAgainError(
            f"no Ray cluster answers at {address}: {_first_line(error)}",
            hint="--address local starts one on this machine, for this run.",
        ) from None
    except (RuntimeError, ValueError, RayError) as error:
        if "ersion mismatch" in str(error):
            raise ConfigError(
                f"the cluster at {address} has another Ray or Python: {_lines(error)}",
                hint="Both must be the same on every machine.",
            ) from None
        raise TryAgainError(f"the Ray cluster at {address} cannot be joined: {_first_line(error)}") from None
    return Cluster(own=False)


def _start() -> Cluster:
    """Start a cluster on this machine, for this user's processes: a token in a private folder admits to it."""
    import ray
    from ray.exceptions import RayError

    folder = Path(tempfile.mkdtemp(prefix="scrimp-ray-", dir="/tmp"))
    try:
        token = folder / "token"
        with new_file(token) as file:
            file.write(_TOKEN.encode())
        # Of itself Ray asks who joins for a token; what it is given here, it need not leave in the home folder.
        with _variables({"RAY_AUTH_TOKEN_PATH": str(token)}, without=_keys()):
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder / "ray"),  # this one it opens to everybody
            )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise TryAgainError(f"Ray cannot be started on this machine: {_first_line(error)}") from None
    return Cluster(own=True, folder=folder)


def _keys() -> frozenset[str]:
    """Return the variables that hold keys: processes of the cluster do not inherit them."""
    return known_variables() | {name for name in os.environ if name.endswith("_API_KEY")}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Have Ray log errors only, and leave the process's signals as they are while it is imported, begun and ended."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        with _variables({name: value for name, value in _SAID.items() if name not in os.environ}):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _variables(given: dict[str, str], *, without: frozenset[str] = frozenset()) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in (*given, *without)}
    os.environ.update(given)
    for name in without:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _lines(error: BaseException) -> str:
    return " ".join(str(error).split())

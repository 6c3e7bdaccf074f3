"""The fork: takes the client's place in everything that a command can see, runs the command, and ends.

What cannot be made the same is a reason to say no, before anything is begun: the client then runs its command itself.
"""

from __future__ import annotations

import array
import contextlib
import io
import locale
import marshal
import os
import select
import signal
import socket
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .client import GO, Connection, identity
from .server import REFUSED, REPLACE

if TYPE_CHECKING:
    from .server import Loaded

__all__ = ["be"]

_REQUEST_S: Final = 10.0
"""How long a client may take to say what it wants, and then to say go."""

_MAX_REQUEST: Final = 64 << 20
_NAMESPACES: Final = ("mnt", "net", "pid", "user", "uts", "ipc")
_CONFINED: Final = (
    b"Uid",
    b"Gid",
    b"Groups",
    b"CapInh",
    b"CapEff",
    b"CapPrm",
    b"CapBnd",
    b"NoNewPrivs",
    b"Seccomp",
    b"Seccomp_filters",
)


class UnfitError(Exception):
    """The command cannot be run here as it would run by itself; the message says why.

    Attributes
    ----------
    old
        Whether no command can be any more: the resident is out of date.
    """

    def __init__(self, why: str, *, old: bool = False) -> None:
        super().__init__(why)
        self.old = old


def be(connected: socket.socket, loaded: Loaded) -> NoReturn:
    """Do what the client at the other end asks, and end this process."""
    code = REFUSED
    try:
        code = _serve(connected, loaded)
    finally:  # nothing of this process may go on as its parent, whatever happens
        os._exit(code)


def _serve(connected: socket.socket, loaded: Loaded) -> int:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    connection = Connection(connected)
    pid, uid = connection.peer()
    if uid != os.geteuid():
        return REFUSED
    connected.settimeout(_REQUEST_S)
    request, fds = _receive(connected)
    if request["kind"] == "status":
        _tell(connected, *_status(loaded))
        return REFUSED
    try:
        _fits(request, loaded, pid)
        _become(request, fds, loaded)
    except UnfitError as error:
        _tell(connected, "no", "old" if error.old else "other", *str(error).split(" "))
        return REPLACE if error.old else REFUSED
    _tell(connected, "ready", str(os.getpid()))
    if connection.hear() != GO.decode().split():
        return REFUSED
    _end_with(connected)
    had = set(sys.modules)
    code = _run(pid)
    with contextlib.suppress(OSError):
        connected.setblocking(True)
        _tell(connected, "exit", str(code))
    loaded.learn(set(sys.modules) - had)
    return 0


def _tell(connected: socket.socket, *words: str) -> None:
    connected.sendall(" ".join(words).encode() + b"\n")


def _receive(connected: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return a client's request, and the descriptors that came with it."""
    n = array.array("i").itemsize
    data, beside, _, _ = connected.recvmsg(65_536, socket.CMSG_SPACE(8 * n), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, found in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(found[: len(found) - len(found) % n])
    while b"\n" not in data[:64]:
        data += _more(connected)
    head, _, body = data.partition(b"\n")
    name, version, size = head.split(b" ")
    if (name, int(version, 16)) != (b"scrimp", sys.hexversion) or int(size, 16) > _MAX_REQUEST:
        raise ValueError(head)
    while len(body) < int(size, 16):
        body += _more(connected)
    request: dict[str, Any] = marshal.loads(body)  # noqa: S302 - this user's own process, by the system's word
    return request, [*fds]


def _more(connected: socket.socket) -> bytes:
    data = connected.recv(1 << 20)
    if not data:
        raise EOFError
    return data


def _status(loaded: Loaded) -> list[str]:
    """Return words about the resident: its process, age in s, commands, and kB of it, its share, and a fork's own."""
    parent = os.getppid()
    return [
        "status",
        str(parent),
        f"{time.monotonic() - loaded.began:.0f}",
        str(loaded.n_served),
        *(
            str(_memory(who, what))
            for who, what in ((parent, b"Rss"), (parent, b"Pss"), (os.getpid(), b"Private_Dirty"))
        ),
        "old" if loaded.out_of_date() else "current",
    ]


def _memory(pid: int, what: bytes) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
            return next(int(line.split()[1]) for line in file if line.startswith(what + b":"))
    except (OSError, StopIteration):
        return 0


# ---- whether it can be the same


def _fits(request: dict[str, Any], loaded: Loaded, pid: int) -> None:
    """Make sure that the command would not run otherwise by itself.

    Raises
    ------
    UnfitError
        If it would, or that cannot be told.
    """
    if loaded.out_of_date():
        raise UnfitError("scrimp, or something installed beside it, has changed", old=True)
    if request["who"] != identity():
        raise UnfitError("another installation, or another way to start Python")
    if _confinement(str(pid)) != _confinement("self"):
        raise UnfitError("the caller is in another container, sandbox or group")
    env = {os.fsdecode(name): os.fsdecode(value) for name, value in request["env"].items()}
    from scrimp.profiles.errors import ConfigError
    from scrimp.profiles.paths import paths

    try:
        same = paths(env) == loaded.paths
    except ConfigError:
        same = False
    if not same:
        raise UnfitError("another home")
    if (name := loaded.seen.differs(env)) is not None:
        raise UnfitError(f"{name} was read when libraries were loaded, and is another now")


def _confinement(pid: str) -> tuple[object, ...]:
    """Return what says where a process is let go: namespaces, root, user, groups, capabilities, filters, label.

    A client in a sandbox must not get out of it by having its command run here: it is looked at, and not asked.
    """
    if not os.path.exists("/proc/self/ns"):  # noqa: PTH110 - not Linux
        return ()
    try:
        spaces = [os.readlink(f"/proc/{pid}/ns/{name}") for name in _NAMESPACES]  # noqa: PTH115
        root = os.stat(f"/proc/{pid}/root")  # noqa: PTH116
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
            lines = [line for line in file if line.partition(b":")[0] in _CONFINED]
    except OSError:
        raise UnfitError("the caller cannot be looked at") from None
    try:
        with open(f"/proc/{pid}/attr/current", "rb") as file:  # noqa: PTH123
            label = file.read()
    except OSError:
        label = b""
    return (*spaces, root.st_dev, root.st_ino, *lines, label)


# ---- becoming the client


def _become(request: dict[str, Any], fds: list[int], loaded: Loaded) -> None:
    """Take over the client's descriptors, folder, environment, limits and signals.

    Raises
    ------
    UnfitError
        If one cannot be had.
    """
    if len(fds) != 4:
        raise UnfitError("the caller's descriptors did not come")
    try:
        for fd in range(3):
            os.dup2(fds[fd], fd)
        os.fchdir(fds[3])
        for fd in fds:
            os.close(fd)
        os.umask(request["umask"])
        _take_limits(request)
    except (OSError, ValueError) as error:
        raise UnfitError(f"the caller's place cannot be taken: {error}") from None
    env = {os.fsdecode(name): os.fsdecode(value) for name, value in request["env"].items()}
    os.environ.clear()
    os.environ.update(loaded.seen.laid_over(env))
    time.tzset()
    time.tzset()
    with contextlib.suppress(locale.Error):  # as Python does as it begins
        locale.setlocale(locale.LC_CTYPE, "")
    tempfile.tempdir = None
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()  # Python sees to its own generator
    sys.argv[1:] = [os.fsdecode(word) for word in request["argv"]]
    _open_streams(request["streams"])
    _take_signals(request)


def _take_limits(request: dict[str, Any]) -> None:
    import resource

    for name, soft, hard in request["limits"]:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))
    if request["nice"] != os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, request["nice"])


def _open_streams(streams: list[tuple[str, str, bool, bool]]) -> None:
    """Make standard input, output and error as the client's Python has made its own."""
    for fd, (encoding, errors, by_line, through) in enumerate(streams):
        raw = io.FileIO(fd, "r" if fd == 0 else "w", closefd=False)
        buffered: Any = raw if through and fd else io.BufferedReader(raw) if fd == 0 else io.BufferedWriter(raw)
        stream = io.TextIOWrapper(
            buffered, encoding=encoding, errors=errors, line_buffering=by_line, write_through=through
        )
        name = ("stdin", "stdout", "stderr")[fd]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _take_signals(request: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])


def _end_with(connected: socket.socket) -> None:
    """Be interrupted when the client is gone: what it began is settled, and is not run to its end for nobody.

    The system sends the signal, so that no thread has to wait for the end of a connection.
    """
    import fcntl

    ends = [each for each in (signal.SIGHUP, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    number = ends[0] if ends else signal.SIGKILL
    connected.setblocking(False)
    if not hasattr(fcntl, "F_SETSIG"):
        signal.signal(signal.SIGIO, lambda *_: os.kill(os.getpid(), number))
    else:
        fcntl.fcntl(connected, fcntl.F_SETSIG, number)
    fcntl.fcntl(connected, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connected, fcntl.F_SETFL, fcntl.fcntl(connected, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([connected], [], [], 0)[0]:  # before the system was asked to look
        os.kill(os.getpid(), number)


def _run(client: int) -> int:
    """Run the command line, as the client would have; return its exit code."""
    from scrimp.cli import main, stdin
    from scrimp.cli.app import run
    from scrimp.cli.streams import put_in_order

    try:
        put_in_order()
        stdin.stand_for(client)
        return main.finish(run(sys.argv[1:]))
    except KeyboardInterrupt:
        return main.INTERRUPTED
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
        return error.code if isinstance(error.code, int) else int(error.code is not None)

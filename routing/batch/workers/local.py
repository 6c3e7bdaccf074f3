"""Workers on this machine: processes of their own, each at the other end of a socket that nobody else can reach."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from scrimp.profiles.collector import paused, rarely

from .channel import LostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .channel import Channel

__all__ = ["LocalPlace", "Stream"]

_HEAD: Final = struct.Struct("!Q")
_END_S: Final = 5.0
"""How long a process may take to end once its socket is closed, seconds."""

_CHUNK: Final = 1 << 20


class Stream:
    """Frames over a connected socket: each after its length, 8 bytes.

    Parameters
    ----------
    process
        The other side, where it is this one's to end.
    """

    def __init__(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer
        self._process = process

    @classmethod
    async def over(cls, name: str, end: socket.socket, process: subprocess.Popen[bytes] | None = None) -> Stream:
        """Return what goes over a socket."""
        reader, writer = await asyncio.open_connection(sock=end, limit=_CHUNK)
        return cls(name, reader, writer, process)

    @property
    def name(self) -> str:
        """What messages call the other side."""
        return self._name

    async def send(self, frame: bytes) -> None:
        """Hand a frame over."""
        try:
            self._writer.write(_HEAD.pack(len(frame)))
            self._writer.write(frame)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            raise LostError(self._name) from error

    async def receive(self) -> bytes:
        """Wait for the next frame."""
        try:
            (size,) = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            return await self._reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise LostError(self._name) from error

    async def close(self) -> None:
        """Let go of the other side; a process that does not end then is ended."""
        self._writer.close()
        if self._process is not None:
            await asyncio.to_thread(_end, self._process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class LocalPlace:
    """The machine that the run is on.

    A worker whose run is gone finds its socket closed, and ends.
    """

    def __init__(self) -> None:
        self._started: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []

    def start(self, n: int) -> None:
        """Start processes, which get ready while the run is planned."""
        # Small matrices: a second thread of numpy's only gets in the way of the other workers.
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
        for _ in range(n):
            mine, its = socket.socketpair()
            with its:
                process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(its.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    env=environment,
                    pass_fds=(its.fileno(),),
                    start_new_session=True,  # an interrupt at the terminal is the run's to hear
                )
            self._started.append((mine, process))

    async def open(self, n: int) -> Sequence[Channel]:
        """Start those that are not started yet; return the run's ends."""
        self.start(n - len(self._started))
        return [await Stream.over(f"worker {i + 1}", *each) for i, each in enumerate(self._started)]

    async def close(self) -> None:
        """End what is left of them."""
        for end, process in self._started:
            end.close()
            await asyncio.to_thread(_end, process)


async def _main(fd: int) -> None:
    with paused(ours=True):
        from .serving import serve

    rarely()
    await serve(await Stream.over("the run", socket.socket(fileno=fd)))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_main(int(sys.argv[1])))

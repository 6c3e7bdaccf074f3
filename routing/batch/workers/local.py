"""Workers on this machine: processes of their own, at the other ends of their pipes."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys
from typing import TYPE_CHECKING, Final

from scrimp.profiles.collector import paused, rarely

from .channel import LostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .channel import Channel

__all__ = ["LocalPlace", "Pipe"]

_HEAD: Final = struct.Struct("!Q")
_END_S: Final = 5.0
"""How long a process may take to end once its pipe is closed, seconds."""

_CHUNK: Final = 1 << 20


class Pipe:
    """Frames over a pair of streams: each after its length, 8 bytes.

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
        process: asyncio.subprocess.Process | None = None,
    ) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer
        self._process = process

    @property
    def name(self) -> str:
        """What messages call the other side."""
        return self._name

    @property
    def pid(self) -> int | None:
        """Its process, where it is this one's to end."""
        return None if self._process is None else self._process.pid

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
        if self._process is None or self._process.returncode is not None:
            return
        try:
            await asyncio.wait_for(self._process.wait(), _END_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class LocalPlace:
    """The machine that the run is on."""

    def __init__(self) -> None:
        self._pipes: list[Pipe] = []

    async def open(self, n: int) -> Sequence[Channel]:
        """Start processes."""
        # Small matrices: a second thread of numpy's only gets in the way of the other workers.
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
        for i in range(n):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                __name__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=environment,
                limit=_CHUNK,
                start_new_session=True,  # an interrupt at the terminal is the run's to hear
            )
            assert process.stdin is not None  # noqa: S101 - pipes, as asked for
            assert process.stdout is not None  # noqa: S101
            self._pipes.append(Pipe(f"worker {i + 1}", process.stdout, process.stdin, process))
        return self._pipes

    async def close(self) -> None:
        """End what is left of them."""
        await asyncio.gather(*(pipe.close() for pipe in self._pipes))


async def _own_end() -> Pipe:
    """Return a worker's end: its standard input and output, which nothing else in it can write to from now on."""
    loop = asyncio.get_running_loop()
    out = os.dup(1)
    os.dup2(2, 1)
    reader = asyncio.StreamReader(limit=_CHUNK)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb", 0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(out, "wb", 0))
    return Pipe("the run", reader, asyncio.StreamWriter(transport, protocol, None, loop))


async def _main() -> None:
    with paused(ours=True):
        from .serving import serve

    rarely()
    await serve(await _own_end())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_main())

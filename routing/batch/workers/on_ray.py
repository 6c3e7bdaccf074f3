"""Workers on a Ray cluster: each is an actor, whose inbox and outbox hold the frames."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ConfigError, ScrimpError, TryAgainError
from scrimp.routing.batch.cluster import join, not_there

from .channel import LostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .channel import Channel

__all__ = ["RayPlace", "Seat"]

_START_S: Final = 300.0
"""How long the cluster may take to find room for the workers, seconds: nodes may have to be started for them."""


class _Ends:
    """A worker's end of its channel, within the actor."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.outbox: deque[bytes] = deque()
        self.more = asyncio.Event()
        self.over = False

    name = "the run"

    async def send(self, frame: bytes) -> None:
        """Hand a frame over."""
        self.outbox.append(frame)
        self.more.set()

    async def receive(self) -> bytes:
        """Wait for the next frame."""
        return await self.inbox.get()

    async def close(self) -> None:
        """Say that nothing more comes."""
        self.over = True
        self.more.set()


class Seat:
    """The actor: a process of the cluster in which one worker works."""

    def __init__(self) -> None:
        self._ends = _Ends()
        self._task: asyncio.Task[None] | None = None
        self._failure = ""

    async def about(self) -> tuple[str, str]:
        """Return the releases of scrimp and of Python that it runs."""
        return version("scrimp"), _python()

    async def begin(self) -> None:
        """Have the worker begin."""
        self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        from .serving import serve

        try:
            await serve(self._ends)
        except Exception as error:  # noqa: BLE001 - the run is told, and calls the worker lost
            self._failure = f"{type(error).__name__}: {error}"[:300]
        finally:
            await self._ends.close()

    async def give(self, frames: list[bytes]) -> None:
        """Take frames for the worker."""
        for frame in frames:
            self._ends.inbox.put_nowait(frame)

    async def take(self) -> tuple[list[bytes], str]:
        """Wait for frames of the worker; none: it has ended, and the text says why where something went wrong."""
        ends = self._ends
        while not ends.outbox and not ends.over:
            ends.more.clear()
            await ends.more.wait()
        frames = list(ends.outbox)
        ends.outbox.clear()
        return frames, self._failure


class _Line:
    """The run's end of what connects it with an actor.

    One `give` is under way at a time, since an actor may begin calls in another order than they were made in; what is
    sent meanwhile goes with the next one. One `take` waits over there all the time.
    """

    def __init__(self, name: str, actor: Any) -> None:
        self.actor = actor
        self._name = name
        self._waiting: list[bytes] = []
        self._giving = asyncio.Lock()
        self._taken: deque[bytes] = deque()
        self._taking: asyncio.Task[tuple[list[bytes], str]] | None = None
        self._lost: LostError | None = None

    @property
    def name(self) -> str:
        """What messages call the other side."""
        return self._name

    async def send(self, frame: bytes) -> None:
        """Hand a frame over."""
        self._waiting.append(frame)
        async with self._giving:
            if self._lost is not None:
                raise self._lost
            if self._waiting:
                frames, self._waiting = self._waiting, []
                await self._call(self.actor.give.remote(frames))

    async def receive(self) -> bytes:
        """Wait for the next frame."""
        while not self._taken:
            if self._lost is not None:
                raise self._lost
            if self._taking is None:
                self._taking = asyncio.ensure_future(self._call(self.actor.take.remote()))
            taking = self._taking
            await asyncio.wait([taking])  # who gives up waiting here loses nothing of what comes
            self._taking = None
            frames, why = taking.result()
            if not frames:
                self._lost = LostError(f"{self._name}: {why}" if why else self._name)
            self._taken.extend(frames)
        return self._taken.popleft()

    async def _call(self, reply: Any) -> Any:
        from ray.exceptions import RayError

        try:
            return await reply
        except (RayError, ConnectionError) as error:
            # Out of reach is not dead: what is called lost must not go on making calls.
            self._kill()
            self._lost = LostError(self._name)
            raise self._lost from error

    def _kill(self) -> None:
        import ray

        with contextlib.suppress(Exception):  # it may be gone, and so may the cluster
            ray.kill(self.actor, no_restart=True)

    async def close(self) -> None:
        """End the actor."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)
        if self._lost is None:
            self._lost = LostError(self._name)
        self._kill()


class RayPlace:
    """A Ray cluster (`cluster.join`).

    No actor is started again and no call of one is made again by Ray: what costs money is begun by the run alone.

    Parameters
    ----------
    address
        As in `cluster.join`.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address
        self._lines: list[_Line] = []

    def start(self, n: int) -> None:
        """Have the cluster start workers, spread over the nodes; where it is shared each has a CPU to itself.

        Raises
        ------
        ConfigError
            If Ray is missing.
        TryAgainError
            If the cluster cannot be joined.
        """
        cluster = join(self.address)
        import ray

        kind = ray.remote(
            num_cpus=0 if cluster.own else 1,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": {"OPENBLAS_NUM_THREADS": "1"}},  # small matrices
        )(Seat)
        self._lines += [_Line(f"worker {i + 1}", kind.remote()) for i in range(len(self._lines), n)]

    async def open(self, n: int) -> Sequence[Channel]:
        """Wait for workers, but start those that are not started.

        Raises
        ------
        ConfigError
            If Ray is missing, or scrimp or Python on a node is not the release that it is here.
        TryAgainError
            If the cluster cannot be joined, or has no room for them.
        """
        self.start(n)
        import ray
        from ray.exceptions import RayError

        try:
            async with asyncio.timeout(_START_S):
                for line in self._lines:
                    _check(line.name, *await line.actor.about.remote())
                    await line.actor.begin.remote()
        except TimeoutError:
            await self.close()
            free = ray.available_resources().get("CPU", 0.0)
            raise TryAgainError(
                f"the cluster has no room for {n} workers: {free:g} CPUs are free",
                hint="Each takes one: ask for fewer with --workers.",
            ) from None
        except RayError as error:
            await self.close()
            raise not_there(error) or ScrimpError(f"a worker cannot be started on the cluster: {error}"[:600]) from None
        except BaseException:
            await self.close()
            raise
        return self._lines

    async def close(self) -> None:
        """End what is left of them; the cluster itself is left by who joined it for the command."""
        await asyncio.gather(*(line.close() for line in self._lines))
        self._lines = []


def _python() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def _check(name: str, scrimp: str, python: str) -> None:
    """Refuse a worker of other releases.

    Raises
    ------
    ConfigError
        If it is.
    """
    here = {"scrimp": version("scrimp"), "Python": _python()}
    for what, there in (("scrimp", scrimp), ("Python", python)):
        if there != here[what]:
            raise ConfigError(
                f"{name} runs {what} {there} on its node, and the run {here[what]}",
                hint="Both must be the same on every machine of the cluster.",
            )

"""What `serve` and `run` share: the endpoint of a profile, and what is said of each request and of all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ConfigError, ScrimpError
from scrimp.profiles.installer import how_to_add
from scrimp.profiles.load import override
from scrimp.profiles.money import NANO, format_usd
from scrimp.profiles.paths import paths

from . import session
from .interrupts import SIGNALS
from .progress import one_thread
from .result import say

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from scrimp.profiles.load import Loaded
    from scrimp.routing.asking.request import Checked
    from scrimp.routing.asking.totals import Totals
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.serving.listen import Endpoint
    from scrimp.routing.serving.service import Asking

__all__ = ["capped", "listening", "make_endpoint", "on_signals", "summary"]


def listening() -> Any:
    """Return `serving.listen`, with what it needs installed.

    Raises
    ------
    ConfigError
        If the server's packages are missing.
    """
    try:
        from scrimp.routing.serving import app, listen  # noqa: F401 - both must be there
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise ConfigError(
            f"the Python package {error.name} is missing, which serving needs",
            hint=how_to_add("serve"),
        ) from None
    return listen


def capped(loaded: Loaded, max_cost_nano: int | None) -> Loaded:
    """Return the profile with one more cap over everything that is asked: `--max-cost`. It only ever lowers."""
    own = loaded.profile.caps.per_run_usd
    if max_cost_nano is None or (own is not None and own * NANO <= max_cost_nano):
        return loaded
    return override(loaded, per_run_usd=Decimal(max_cost_nano) / NANO)


def make_endpoint(
    loaded: Loaded,
    sock: socket.socket,
    *,
    token: str | None,
    hosts: tuple[str, ...] = (),
    one_run: bool = False,
    any_model: bool = False,
    tag: str | None = None,
    tag_header: str | None = None,
    memory: str | None = None,
    quiet: bool = False,
    told: Callable[[str], None] = say,
) -> Endpoint:
    """Open everything that requests are asked with, and put the endpoint on its socket.

    Parameters
    ----------
    one_run, any_model, tag_header, memory
        As in `serving.service.Service`.
    told
        Takes a line about each request, unless it is `quiet` about those that went well.
    """
    one_thread(children=False)
    from scrimp.profiles.keys import Keys
    from scrimp.routing.asking.home import stamp
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.serving.app import make_app
    from scrimp.routing.serving.listen import Endpoint
    from scrimp.routing.serving.service import Service

    where = paths()
    ledger, reader = session.ledger(), session.ledger()
    env = dict(os.environ)  # as it is: what LiteLLM must not see, `key_cmd` may need

    def open_space() -> Workspace:
        return Workspace.open(
            loaded.profile, where, ledger, Keys(env, where), say=told, rng=session.make_rng(None), reader=reader
        )

    with contextlib.ExitStack() as undone:
        undone.callback(sock.close)
        service = Service(
            open_space,
            lambda: stamp(where),
            one_run=one_run,
            any_model=any_model,
            tag=tag,
            tag_header=tag_header,
            memory=memory,
            say=told,
        )
        service.upkeep()
        for arm in _callable_arms(service.space):
            service.space.make_ready(arm)  # what takes seconds is done before the first request
        undone.pop_all()

    def done(asking: Asking, outcome: Checked | BaseException) -> None:
        line = _line(asking, outcome)
        if not quiet or isinstance(outcome, BaseException):
            told(line)

    return Endpoint(service, make_app(service, token=token, hosts=hosts, done=done), sock, say=told)


def _callable_arms(space: Workspace) -> list[str]:
    """Return the arms that can be called; say which cannot, before anybody asks for them.

    Raises
    ------
    ScrimpError
        If none can.
    """
    from scrimp.routing.asking.refusal import keyless_arms

    missing = keyless_arms(space.profile, space.key)
    names = [arm.name for arm in space.profile.arms if arm.name not in missing]
    if not names:
        raise next(iter(missing.values()))
    for error in missing.values():
        say(f"left out: {error.message}")
    return names


def _line(asking: Asking, outcome: Checked | BaseException) -> str:
    """Return the line about a request that is over."""
    if isinstance(outcome, asyncio.CancelledError):
        return f"{_id(asking)}the client went away; {asking.cost}"
    if isinstance(outcome, BaseException):
        why = outcome.message if isinstance(outcome, ScrimpError) else f"{type(outcome).__name__}: {outcome}"
        return f"{_id(asking)}{why}"
    answer = outcome.answer
    parts = [answer.arm, format_usd(answer.total_charged_nano), f"{answer.latency_s:.1f} s", answer.id]
    return " · ".join([*parts, *answer.notes])


def _id(asking: Asking) -> str:
    return "" if asking.decision is None else f"{asking.decision.id}: "


def on_signals(stop: Callable[[], None]) -> None:
    """Have what ends a command from outside stop a server in the running event loop."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # `nohup` stays so
            loop.add_signal_handler(number, stop)


def summary(totals: Totals) -> Iterator[str]:
    """Yield the lines about all that was asked."""
    n = totals.n_by_arm.total()
    arms = ", ".join(f"{arm} {count}" for arm, count in totals.n_by_arm.most_common())
    yield f"{n} answer{'' if n == 1 else 's'}{f' ({arms})' if arms else ''} for {format_usd(totals.charged_nano)}"
    if totals.saved_nano:
        word = "saved" if totals.saved_nano > 0 else "spent more:"
        yield f"{word} {format_usd(abs(totals.saved_nano))} against the best arm for each"
    for count, what in (
        (totals.n_refused, "refused by a cap"),
        (totals.n_failed, "failed"),
        (totals.n_interrupted, "interrupted"),
    ):
        if count:
            yield f"{count} {what}"

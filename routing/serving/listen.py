"""The endpoint's socket and its life: bound before anything is loaded, stopped in good order."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import socket
from typing import TYPE_CHECKING, Final

import uvicorn

from scrimp.profiles.errors import ConfigError, UsageError
from scrimp.profiles.files import replacing
from scrimp.profiles.reading import read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from starlette.applications import Starlette

    from .service import Service

__all__ = ["Endpoint", "bind", "is_loopback", "make_token", "read_token", "url_of", "write_private"]

_BACKLOG: Final = 2048
_LEAST_TOKEN: Final = 16


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, so that nobody else takes the port while the rest is loaded.

    Raises
    ------
    UsageError
        If the address cannot be had.
    """
    sock = None
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = infos[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        if sock is not None:
            sock.close()
        hint = "Is another server there? --port 0 takes a free port." if port else "Check --host."
        raise UsageError(f"cannot listen at {host}:{port}: {error.strerror or error}", hint=hint) from None
    sock.set_inheritable(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """Return the address that clients on this machine call."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_token() -> str:
    """Return a new token."""
    return f"scrimp-{secrets.token_urlsafe(24)}"


def read_token(file: Path) -> str | None:
    """Return the token that a file holds; None where there is no such file, or nothing in it.

    Raises
    ------
    ConfigError
        If others can read the file, or what it holds is too short to be a secret.
    """
    try:
        mode = file.stat().st_mode
        text = read_text(file).strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    if not text:
        return None
    if mode & 0o077:
        raise ConfigError(f"{file} can be read by others, and holds a token", hint=f"chmod 600 {file}")
    if len(text) < _LEAST_TOKEN or not text.isascii() or not text.isprintable():
        raise ConfigError(f"{file}: a token is {_LEAST_TOKEN} or more printable ASCII characters")
    return text


def write_private(file: Path, text: str) -> None:
    """Write a line to a file that only its owner may read, whole or not at all.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    try:
        with replacing(file) as out:
            out.write(f"{text}\n".encode("ascii"))
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None


class _Server(uvicorn.Server):
    """uvicorn's, without its signal handlers: what ends a command is met in one place."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


class Endpoint:
    """An application on its socket.

    Parameters
    ----------
    sock
        A bound socket.
    say
        Takes a line for whoever runs the server.
    """

    def __init__(
        self, service: Service, app: Starlette, sock: socket.socket, *, say: Callable[[str], None] = lambda _line: None
    ) -> None:
        self.service = service
        self._sock = sock
        self._say = say
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
        )
        self._server = _Server(config)

    async def start(self) -> asyncio.Task[None]:
        """Begin to serve; return once it listens, with the task that ends when it has stopped (`run`)."""
        serving = asyncio.create_task(self.run())
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if serving.done():
            await serving  # it could not: this raises why
        return serving

    async def run(self) -> None:
        """Serve until `stop`; then wait for what is under way, or give it up where it was stopped twice."""
        try:
            await self._server.serve(sockets=[self._sock])
        finally:
            await self.service.close()

    def stop(self, *, now: bool = False) -> None:
        """Take no more requests; asked again, or `now`, give up those under way (they are settled and logged)."""
        if self._server.should_exit or now:
            self._server.force_exit = True
            self.service.give_up()
        elif self.service.n_running:
            n = self.service.n_running
            self._say(f"finishing {n} request{'s' if n > 1 else ''}; once more to give up")
        self._server.should_exit = True

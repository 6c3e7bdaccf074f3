"""What libraries ask of the environment while they are imported, written down as they ask.

A fork of a process that has imported them cannot ask again. So a command whose environment would have answered
otherwise is not run in such a fork. LiteLLM alone asks for some 400 variables, others with each version: no list would
hold.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.addresses import drop_ignored
from scrimp.profiles.environment import command_environment
from scrimp.profiles.keys import known_secrets, looks_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Seen", "environment_to_load_in"]

_UNSEEN: Final = re.compile(
    # Read by C libraries, or by Python itself, when they begin.
    r"PYTHON[A-Z0-9_]*|LD_[A-Z_]+|DYLD_[A-Z_]+|GLIBC_TUNABLES|MALLOC_[A-Z_]+|OPENSSL_CONF|OPENSSL_MODULES|TQDM_[A-Z_]+"
    r"|(?:OMP|MKL|OPENBLAS|GOTO|BLIS|VECLIB|NUMEXPR|RAYON|KMP|ORT)_[A-Z0-9_]+"
)
_FOR_THE_RESIDENT: Final = re.compile(
    r"HF_[A-Z_]+|HUGGINGFACE_[A-Z_]+|DEFAULT_[A-Z0-9_]+|MAX_[A-Z0-9_]+|LOGURU_[A-Z_]+"
)
_NO_MATTER: Final = frozenset({
    "CI", "FORCE_COLOR", "NO_COLOR", "JSON_LOGS",  # how libraries lay out log lines that nobody gets
    "TMPDIR", "TEMP", "TMP",  # asked for again (`child.py`)
    # Hidden while libraries are imported, and asked for again in each call (`calls.transport`).
    "SSLKEYLOGFILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CERTIFICATE", "SSL_VERIFY", "SSL_SECURITY_LEVEL",
    "SSL_ECDH_CURVE",
})  # fmt: skip


class Seen:
    """What was asked of the environment in a stretch of a process's life, and what it then answered."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._was = dict(os.environ)
        self._sets: dict[str, str] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Write down what is asked within the block, and what is set there."""
        asked = self._asked
        environ: Any = os.environ
        plain = type(environ)

        class Watched(plain):  # type: ignore[misc, valid-type]  # a class known at run time
            """Notes each name that is asked for. Going through all of them (`items`) asks for none."""

            def __getitem__(self, key: str) -> str:
                asked.add(key)
                return str(super().__getitem__(key))

            def __contains__(self, key: object) -> bool:
                asked.add(str(key))
                return bool(super().__contains__(key))

            def items(self) -> Any:
                return {**_plain(self, plain)}.items()

        environ.__class__ = Watched
        try:
            yield
        finally:
            environ.__class__ = plain
        now = dict(os.environ)
        self._sets |= {name: value for name, value in now.items() if self._was.get(name) != value}

    def differs(self, env: Mapping[str, str]) -> str | None:
        """Return the name of a variable that would have been answered otherwise in another environment; None: none.

        Variables that are ignored (`drop_ignored`) are taken out of both: they are gone before anybody asks.
        """
        theirs, ours = dict(env), dict(self._was)
        drop_ignored(theirs)
        drop_ignored(ours)
        names = self._asked | {name for name in (*theirs, *ours) if _UNSEEN.fullmatch(name)}
        for name in sorted(names - _NO_MATTER):
            if theirs.get(name) != ours.get(name) and not looks_secret(name):
                return name
        return None

    def laid_over(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with what libraries set in theirs."""
        return {**env, **self._sets}


def _plain(environ: Any, plain: type[Any]) -> dict[str, str]:
    return {name: plain.__getitem__(environ, name) for name in plain.__iter__(environ)}


def environment_to_load_in(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a resident: where things are, what libraries are told as they load, and no key."""
    passed = {
        name: value
        for name, value in env.items()
        if (_UNSEEN.fullmatch(name) or _FOR_THE_RESIDENT.fullmatch(name)) and not looks_secret(name)
    }
    keys = known_secrets()
    kept = {name: value for name, value in passed.items() if not any(key in value for key in keys)}
    return kept | command_environment(env)

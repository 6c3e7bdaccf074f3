"""The environment of commands that may run what a model wrote: what programs need to run at all, and no key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .keys import known_secrets, known_variables, looks_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALLOWED", "command_environment"]

ALLOWED: Final = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "TMPDIR", "TMP", "TEMP", "TERM", "COLORTERM", "COLUMNS",
    "LINES", "FORCE_COLOR", "NO_COLOR",
    "SCRIMP_HOME", "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_ADDRESS", "LC_COLLATE", "LC_CTYPE",
    "LC_IDENTIFICATION", "LC_MEASUREMENT", "LC_MESSAGES", "LC_MONETARY", "LC_NAME", "LC_NUMERIC", "LC_PAPER",
    "LC_TELEPHONE", "LC_TIME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "PYENV_ROOT", "NODE_PATH",
    "NVM_DIR", "JAVA_HOME", "GOPATH", "GOROOT", "CARGO_HOME", "RUSTUP_HOME", "GEM_HOME", "GEM_PATH",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
})  # fmt: skip
"""The variables that are passed on. A command that needs another sets it: `sh:DATABASE_URL=... pytest -q`."""


def command_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return what a command gets of an environment: allowed names, and of those none that has a key, or is an arm's."""
    keys, theirs = known_secrets(), known_variables()
    return {
        name: value
        for name, value in env.items()
        if name in ALLOWED and name not in theirs and not looks_secret(name) and not any(key in value for key in keys)
    }

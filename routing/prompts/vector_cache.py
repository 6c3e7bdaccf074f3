"""Vectors of prompts embedded before, kept on disk: measuring on the same file again costs no embedding."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.profiles.paths import make_private_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .embedding import Embedder

__all__ = ["VectorCache"]

_MAX_BYTES: Final = 256_000_000
"""A larger cache is begun anew: about 160,000 prompts."""

_CHUNK: Final = 256


class VectorCache:
    """An embedder with a memory: one file per embedder, of records (hash of the text, vector).

    Records are only appended, each chunk by one write. What does not look like a unit vector is not believed, and a
    file that does not end with a record is begun anew. Nothing is remembered in a folder that cannot be written.

    Parameters
    ----------
    embedder
        What embeds the texts that are new.
    folder
        Where the file lies (0600); made when missing.
    on_progress
        Told after each chunk how many texts are embedded, of how many that are new.
    """

    def __init__(
        self, embedder: Embedder, folder: Path, on_progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> None:
        self.embedder = embedder
        self.path = folder / f"{hashlib.sha256(embedder.id.encode()).hexdigest()[:12]}.vectors"
        self.on_progress = on_progress
        self._known: dict[bytes, NDArray[np.float32]] | None = None

    @property
    def id(self) -> str:
        """Id of the embedder."""
        return self.embedder.id

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return `(n_texts, dim)` float32 unit vectors, the same bits as the embedder's own."""
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16] for text in texts]
        known = self._read()
        new = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            vectors = self.embedder.embed([text for _, text in chunk])
            self._append([key for key, _ in chunk], vectors)
            known.update(zip((key for key, _ in chunk), vectors, strict=True))
            self.on_progress(min(start + _CHUNK, len(new)), len(new))
        out = np.empty((len(texts), self.embedder.dim), dtype=np.float32)
        for row, key in enumerate(keys):
            out[row] = known[key]
        return out

    @property
    def _record(self) -> np.dtype[np.void]:
        return np.dtype([("key", "V16"), ("vector", "<f4", (self.embedder.dim,))])

    def _read(self) -> dict[bytes, NDArray[np.float32]]:
        if self._known is None:
            self._known = {}
            try:
                size = self.path.stat().st_size
                if size % self._record.itemsize or size > _MAX_BYTES:
                    self.path.unlink()
                else:
                    records = np.fromfile(self.path, dtype=self._record)
                    with np.errstate(all="ignore"):
                        sound = np.abs(np.linalg.norm(records["vector"], axis=1) - 1.0) < 1e-3
                    for record in records[sound]:
                        self._known[record["key"].tobytes()] = record["vector"]
            except OSError:
                pass  # not there yet, or not readable: nothing is known
        return self._known

    def _append(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        records = np.empty(len(keys), dtype=self._record)
        records["key"] = np.frombuffer(b"".join(keys), dtype="V16")
        records["vector"] = vectors
        try:
            make_private_dir(self.path.parent)
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError:
            return
        try:
            os.write(handle, records.tobytes())
        except OSError:
            pass  # a full disk costs the memory, not the answer
        finally:
            os.close(handle)

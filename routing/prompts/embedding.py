"""Prompts to vectors, on this machine: the packaged MiniLM, or a model of fastembed's, fetched by name."""

from __future__ import annotations

import difflib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrimp.profiles.collector import paused
from scrimp.profiles.errors import ConfigError, ProviderError

from .asked import ASKED_CHARS, asked_part
from .minilm import DIM, SHA256, MiniLM, quiet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BUILTIN_ID", "BUILTIN_MODEL", "FETCH_COMMAND", "HEAD_TOKENS", "TAIL_TOKENS", "Embedder", "fetch"]

HEAD_TOKENS = 128
"""Tokens kept from the start of what a long prompt asks."""

TAIL_TOKENS = 64
"""Tokens kept from its end, where the question often stands."""

_CHARS_PER_TOKEN = 8
"""Characters looked at per token kept, twice what English needs: a prompt of megabytes costs no more than a page."""

BUILTIN_MODEL = "builtin"
"""The name a profile gives the packaged model."""

FETCH_COMMAND = "scrimp doctor --fetch"
"""The command that ends in `fetch`."""

_CUT = f"+q{ASKED_CHARS}h{HEAD_TOKENS}t{TAIL_TOKENS}"

BUILTIN_ID = f"all-MiniLM-L6-v2-int8@{SHA256[:8]}{_CUT}"
"""Id of the packaged embedder: weights, and what of a long prompt is embedded. A router of another id does not fit."""

_TOKENIZER_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "preprocessor_config.json",
)
_MAX_WORKERS = 8


class Embedder:
    """Embed what prompts ask (`asked_part`); loads its model on first use and never reaches for the network.

    Each prompt is embedded by itself, so that its vector does not depend on what it was batched with.

    Parameters
    ----------
    model
        `"builtin"`, or the name of a model that fastembed supports.
    cache_dir
        scrimp's cache folder: models fetched by name are kept in `cache_dir/models`. The packaged model needs no cache.
    offline
        Never download: a model that is not in the cache is an error. With False it is fetched on first use.
    threads
        Prompts embedded at the same time, each on one core; all cores that this process may use when None.
    """

    def __init__(
        self,
        model: str = BUILTIN_MODEL,
        cache_dir: Path | None = None,
        offline: bool = True,
        threads: int | None = None,
    ) -> None:
        self.model = model
        self.cache_dir = cache_dir
        self.offline = offline
        self.threads = threads
        self._lock = threading.Lock()
        self._loaded: Any = None
        self._id = BUILTIN_ID if model == BUILTIN_MODEL else ""
        self._dim = DIM if model == BUILTIN_MODEL else 0

    def __reduce__(self) -> tuple[type[Embedder], tuple[object, ...]]:
        """Return how another process makes the same: it loads the model for itself."""
        return Embedder, (self.model, self.cache_dir, self.offline, self.threads)

    @property
    def id(self) -> str:
        """Id of weights and truncation; the packaged model's is known without loading it."""
        if not self._id:
            self.warm()
        return self._id

    @property
    def dim(self) -> int:
        """Length of a vector; the packaged model's is known without loading it."""
        if not self._dim:
            self.warm()
        return self._dim

    def load(self) -> None:
        """Load the model whole and at once, for many prompts to come; the packaged one starts no threads.

        numpy's own library may start one for each core as it is imported; `OPENBLAS_NUM_THREADS=1` in the environment
        by then keeps it from that.

        Raises
        ------
        ConfigError
            As `warm`.
        """
        self._load(many=True)

    def warm(self) -> None:
        """Load the model now; safe to call from a thread while other work goes on.

        The packaged one is loaded as is best for a few prompts, and whole once there have been more.

        Raises
        ------
        ConfigError
            If the weights are missing or damaged, or the name is not one that fastembed supports.
        """
        self._load()

    def _load(self, *, many: bool = False) -> None:
        with self._lock:
            if self._loaded is None:
                with paused():
                    self._loaded = MiniLM(many=many) if self.model == BUILTIN_MODEL else self._load_named()
            elif many and isinstance(self._loaded, MiniLM):
                self._loaded.load_whole()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text.

        Parameters
        ----------
        texts
            Any strings: empty ones, lone surrogates, NULs and megabytes are all fine.

        Returns
        -------
        `(n_texts, dim)` float32, rows of length 1.

        Raises
        ------
        ConfigError
            As `warm`.
        """
        import numpy as np

        self.warm()
        if isinstance(self._loaded, MiniLM):
            self._loaded.expect(len(texts))
        out = np.empty((len(texts), self.dim), dtype=np.float32)
        workers = min(len(texts), self.threads or _cores(), _MAX_WORKERS)
        if workers <= 1:
            for row, text in enumerate(texts):
                out[row] = self._embed_one(text)
            return out
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(workers) as pool:
            for row, vector in enumerate(pool.map(self._embed_one, texts)):
                out[row] = vector
        return out

    def _embed_one(self, text: str) -> NDArray[np.float32]:
        import numpy as np

        flat: NDArray[np.float32] = self._loaded.embed(self._head_and_tail(asked_part(text)))
        norm = np.float32(np.linalg.norm(flat))
        return np.divide(flat, norm, dtype=np.float32) if norm > 0 else flat

    def _head_and_tail(self, text: str) -> str:
        """Cut a long text to its first `HEAD_TOKENS` and last `TAIL_TOKENS` tokens."""
        head_chars, tail_chars = HEAD_TOKENS * _CHARS_PER_TOKEN, TAIL_TOKENS * _CHARS_PER_TOKEN
        head, tail = text, ""
        if len(text) > head_chars + tail_chars:
            head, tail = text[:head_chars], text[-tail_chars:]
        # Lone surrogates have no UTF-8 form: the tokeniser would refuse them.
        head, tail = _encodable(head), _encodable(tail)
        tokenizer = self._loaded.tokenizer
        if tokenizer is None or len(head) + len(tail) <= HEAD_TOKENS + TAIL_TOKENS:
            return f"{head} {tail}" if tail else head
        head_ends = [end for _, end in tokenizer.encode(head, add_special_tokens=False).offsets]
        if not tail:
            if len(head_ends) <= HEAD_TOKENS + TAIL_TOKENS:
                return head
            tail = head[-tail_chars:]
        tail_starts = [start for start, _ in tokenizer.encode(tail, add_special_tokens=False).offsets]
        if len(head_ends) > HEAD_TOKENS:
            head = head[: head_ends[HEAD_TOKENS - 1]]
        if len(tail_starts) > TAIL_TOKENS:
            tail = tail[tail_starts[-TAIL_TOKENS] :]
        return f"{head} {tail}"

    def _load_named(self) -> Any:
        if self.cache_dir is None:
            raise ConfigError(f"the embedding model {self.model!r} needs a cache folder")
        fastembed = _import_fastembed()
        known = _describe(fastembed, self.model)
        folder = _cached(known, self.cache_dir)
        if folder is None:
            if self.offline:
                raise ConfigError(
                    f"the embedding model {known['model']} is not on this machine",
                    hint=f"fetch it once with: {FETCH_COMMAND} {known['model']} (or use the packaged one: "
                    f'[embedding] model = "{BUILTIN_MODEL}")',
                )
            folder = fetch(self.model, self.cache_dir)
        try:
            loaded = fastembed.TextEmbedding(
                known["model"],
                cache_dir=str(_models(self.cache_dir)),
                specific_model_path=str(folder),
                local_files_only=True,
                threads=1,
                cuda=False,
            )
        except Exception as error:  # onnxruntime and fastembed have no common base
            raise ConfigError(
                f"the embedding model {known['model']} cannot be loaded: {error}",
                hint=f"delete {folder} and fetch it again with: {FETCH_COMMAND} {known['model']}",
            ) from error
        self._id = f"{known['model']}@{folder.name[:8]}{_CUT}"
        self._dim = int(known["dim"])
        return _Named(loaded)


class _Named:
    """A model of fastembed's, in the form of `MiniLM`."""

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded
        self.tokenizer = getattr(loaded.model, "tokenizer", None)

    def embed(self, text: str) -> NDArray[np.float32]:
        import numpy as np

        (vector,) = self._loaded.embed([text], batch_size=1)
        return np.asarray(vector, dtype=np.float32)


def fetch(model: str, cache_dir: Path) -> Path:
    """Download a fastembed model into scrimp's cache; the one function here that uses the network.

    Parameters
    ----------
    model
        A name that fastembed supports.
    cache_dir
        scrimp's cache folder.

    Returns
    -------
    The model's folder.

    Raises
    ------
    ConfigError
        If fastembed does not support the model, or the cache cannot be written.
    ProviderError
        If the model hub cannot be reached, or lacks the files.
    """
    known = _describe(_import_fastembed(), model)
    from huggingface_hub import snapshot_download

    models = _models(cache_dir)
    try:
        models.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to {models}: {error.strerror}") from error
    try:
        snapshot_download(known["sources"]["hf"], cache_dir=models, allow_patterns=_files(known))
    except Exception as error:  # the hub raises its own errors, its HTTP library's and OSError
        raise ProviderError(
            f"cannot fetch {known['model']} from the model hub: {_first_line(error)}",
            hint="check the network, HF_ENDPOINT and HF_HUB_OFFLINE, then try again; what was fetched is kept",
        ) from error
    folder = _cached(known, cache_dir)
    if folder is None:
        raise ProviderError(f"the model hub's {known['sources']['hf']} lacks files that {known['model']} needs")
    return folder


def _describe(fastembed: Any, model: str) -> dict[str, Any]:
    """Return fastembed's description of a model it can load from the hub."""
    known = {each["model"]: each for each in fastembed.TextEmbedding.list_supported_models() if each["sources"]["hf"]}
    by_name = {name.lower(): name for name in known}
    if model.lower() in by_name:
        return dict(known[by_name[model.lower()]])
    # People leave out the organisation, or know a part of the name.
    wanted = model.lower()
    short = {name.lower().rpartition("/")[2]: name for name in known}
    close = [
        *(by_name[name] for name in difflib.get_close_matches(wanted, by_name, n=3)),
        *(short[name] for name in difflib.get_close_matches(wanted.rpartition("/")[2], short, n=3)),
        *(name for name in known if wanted in name.lower()),
    ]
    suggestions = " or ".join(list(dict.fromkeys(close))[:3])
    raise ConfigError(
        f"fastembed has no embedding model {model!r}",
        hint=f"did you mean {suggestions}?"
        if suggestions
        else f'use "{BUILTIN_MODEL}", or a name that fastembed lists',
    )


def _models(cache_dir: Path) -> Path:
    return cache_dir / "models"


def _files(known: Mapping[str, Any]) -> list[str]:
    return [*_TOKENIZER_FILES, known["model_file"], *known["additional_files"]]


def _cached(known: Mapping[str, Any], cache_dir: Path) -> Path | None:
    """Return the folder of a fetched model, or None where a file it needs is missing."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(
                known["sources"]["hf"],
                cache_dir=_models(cache_dir),
                allow_patterns=_files(known),
                local_files_only=True,
            )
        )
    except (OSError, ValueError):  # not there, or only in part
        return None
    needed = (known["model_file"], "tokenizer.json", *known["additional_files"])
    return folder if all((folder / file).is_file() for file in needed) else None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _import_fastembed() -> Any:
    """Import fastembed, quiet and without telemetry."""
    quiet()
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import fastembed
    from loguru import logger

    logger.disable("fastembed")
    return fastembed

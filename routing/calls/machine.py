"""How fast this machine is, measured once, and how long a model of a known size takes on it (the roofline).

Two rates of one core are measured: multiplications and additions of numpy's `sgemm`, and bytes read from memory by
going through an array that no cache holds (`speed`). A model of P parameters in its layers and H in its head, of B
bytes, takes

    for each token read       g = 2 P / (e F k) + B_layers / (128 W)
    for each token written    s = 2 (P + H) / (e F k) + B / W

seconds, with F and W the two rates, k the cores that the engine uses, and e the share of `sgemm` that llama.cpp's
kernels for quantised weights reach. Weights are read once for each 128 tokens of a prompt, which are evaluated
together, and once for each token that is written. The two terms are added, where a roofline takes the greater one: a
single core that waits for memory does not compute. Attention comes on top (`gguf.Gguf.bend`).

LLM Inference Unveiled: Survey and Roofline Model Insights (arXiv:2402.16363), section 2; Williams, Waterman and
Patterson (2009), Communications of the ACM 52(4).
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.files import store_own
from scrimp.routing.text.in_words import counted

from .gguf import Gguf, read_gguf
from .local_engine import PROMPT_BATCH, threads_for
from .local_weights import PROVIDER, check_available

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.profiles.schema import Arm

__all__ = ["Machine", "Rates", "Supposed", "measure"]

KERNEL_SHARE: Final = 0.25
"""e: seen with weights of four bits (Q4_1) on one core with AVX2, 0.22 to 0.27. Of other machines it is supposed."""

START_S: Final = 0.05
"""Seconds before a prompt is evaluated: its template and its tokens."""

STALE_S: Final = 90 * 86_400.0
_PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast one core of this machine is.

    Attributes
    ----------
    flops
        Multiplications and additions a second (`sgemm`, 32 bits).
    bytes_per_s
        Read from memory.
    watts
        What the whole package took while they were measured; None where that cannot be read.
    measured_at
        POSIX time.
    machine
        What tells this machine from others.
    """

    flops: float
    bytes_per_s: float
    watts: float | None
    measured_at: float
    machine: str


@dataclass(frozen=True, slots=True)
class Supposed:
    """How long a model is supposed to take here.

    Attributes
    ----------
    start_s, read_s, write_s
        Seconds before anything is read, for each token read, and for each token written, with no context before it.
    bend
        At how many tokens of context attention doubles that; None where it does not grow.
    """

    start_s: float
    read_s: float
    write_s: float
    bend: float | None


def this_machine() -> str:
    """Return what tells this machine from others that share its cache folder."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{platform.node()}, {model}, {counted(os.cpu_count() or 0, 'core')}"


def measure() -> Rates | None:
    """Measure this machine, in about a second; None where that fails."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "scrimp.routing.calls.speed"]
    try:
        ran = subprocess.run(command, env=env, capture_output=True, timeout=_PATIENCE_S, check=True)
        found = msgspec.json.decode(ran.stdout)
        rates = {name: found[name] for name in ("flops", "bytes_per_s", "watts")}
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError, KeyError, TypeError):
        return None
    return Rates(**rates, measured_at=time.time(), machine=this_machine())


@dataclass(slots=True)
class Machine:
    """The speed of this machine, kept in the cache folder, and what it says of models.

    Parameters
    ----------
    file
        Where it is kept; None keeps nothing.
    """

    file: Path | None
    _kept: dict[str, Any] | None = None
    _models: dict[str, Gguf | None] = field(default_factory=dict)

    def known(self) -> Rates | None:
        """Return the rates that are kept of this machine; None where there are none, or only old ones."""
        kept = self._read().get("rates")
        try:
            rates = Rates(**kept) if isinstance(kept, dict) else None
        except TypeError:  # of another version
            return None
        fresh = (
            rates is not None and rates.machine == this_machine() and 0.0 <= time.time() - rates.measured_at < STALE_S
        )
        return rates if fresh else None

    def rates(self) -> Rates | None:
        """Return the machine's rates, measured now where they are not known; None where they cannot be."""
        rates = self.known()
        if rates is None and (rates := measure()) is not None:
            self._keep(rates=asdict(rates))
        return rates

    def model(self, arm: Arm) -> Gguf | None:
        """Return the size of a model that runs in this process; None of any other, or where its file cannot be read."""
        if not arm.model.startswith(f"{PROVIDER}/"):
            return None
        if arm.model not in self._models:
            try:
                self._models[arm.model] = self._sized(check_available(arm.model))
            except ScrimpError:
                self._models[arm.model] = None
        return self._models[arm.model]

    def supposed(self, arm: Arm) -> Supposed | None:
        """Return how long a model of this process is supposed to take; None where size or speed is not known."""
        size = self.model(arm)
        rates = None if size is None else self.known()
        if size is None or rates is None:
            return None
        flops = KERNEL_SHARE * rates.flops * threads_for(arm.model)
        whole = size.block_bytes + size.output_bytes
        return Supposed(
            START_S,
            2.0 * size.n_block / flops + size.block_bytes / PROMPT_BATCH / rates.bytes_per_s,
            2.0 * (size.n_block + size.n_output) / flops + whole / rates.bytes_per_s,
            size.bend,
        )

    def _sized(self, path: Path) -> Gguf:
        """Return what a file's header says: that of a large vocabulary takes a tenth of a second to go through."""
        found = path.stat()
        key = f"{path}|{found.st_size}|{found.st_mtime_ns}"
        models = self._read().get("models")
        kept = models.get(key) if isinstance(models, dict) else None
        try:
            if isinstance(kept, dict):
                return Gguf(**kept)
        except TypeError:  # of another version
            pass
        size = read_gguf(path)
        self._keep(models={**(models if isinstance(models, dict) else {}), key: asdict(size)})
        return size

    def _read(self) -> Mapping[str, Any]:
        if self._kept is None:
            self._kept = {}
            try:
                kept = msgspec.json.decode(b"" if self.file is None else self.file.read_bytes())
                self._kept = kept if isinstance(kept, dict) and kept.get("schema_version") == 1 else {}
            except (OSError, msgspec.DecodeError):
                pass
        return self._kept

    def _keep(self, **parts: object) -> None:
        self._kept = {**self._read(), "schema_version": 1, **parts}
        if self.file is None:
            return
        with contextlib.suppress(ScrimpError, OSError):  # it is measured again the next time
            store_own(self.file, msgspec.json.encode(self._kept))

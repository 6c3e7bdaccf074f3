"""Measure one core of this machine: run as a process of its own, with numpy kept to one thread, it prints JSON.

In the process that asks, numpy may have been imported with a thread for each core, and other threads may be at work.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["joules_read"]

_BUDGET_S: Final = 0.9
_SIDE: Final = 512
_ARRAY_BYTES: Final = 256 * 1024 * 1024
"""No cache holds it."""

_POWERCAP: Final = Path("/sys/class/powercap")


def joules_read(folder: Path = _POWERCAP) -> float | None:
    """Return the energy that the machine's packages have counted so far, joules; None where it cannot be read.

    The counters (RAPL) are the kernel's, and usually for root alone; they start anew now and then.
    """
    try:
        zones = sorted(each for each in folder.glob("intel-rapl:*") if each.name.count(":") == 1)
        counted = [int((zone / "energy_uj").read_text(encoding="ascii")) for zone in zones]
    except (OSError, ValueError):
        return None
    return sum(counted) / 1e6 if counted else None


def measured(
    *, budget_s: float = _BUDGET_S, joules: Callable[[], float | None] = joules_read
) -> dict[str, float | None]:
    """Return `flops`, `bytes_per_s` and `watts` of this machine while one of its cores is at work.

    Each rate is that of the best of several tries, by the core's own time: other work matters little.
    """
    import numpy as np

    before, began = joules(), time.perf_counter()
    square = np.ones((_SIDE, _SIDE), dtype=np.float32)
    flops = 2.0 * _SIDE**3 / _best(lambda: square @ square, budget_s / 2)
    array = np.ones(_ARRAY_BYTES // 4, dtype=np.float32)
    rate = array.nbytes / _best(array.max, budget_s / 4)
    after, took = joules(), time.perf_counter() - began
    watts = None if before is None or after is None or after <= before else (after - before) / took
    return {"flops": flops, "bytes_per_s": rate, "watts": watts}


def _best(run: Callable[[], object], budget_s: float) -> float:
    """Return the least processor time that something takes, seconds, of as many tries as fit, and three at least."""
    run()
    until = time.perf_counter() + budget_s
    best, n = float("inf"), 0
    while n < 3 or time.perf_counter() < until:
        began = time.thread_time()
        run()
        best = min(best, time.thread_time() - began)
        n += 1
    return max(best, 1e-9)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured()))

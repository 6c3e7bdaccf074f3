"""Prompts judged by how able a model they need: levels 1 to 5, two judgements each (docs/difficulty.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from scrimp.profiles.errors import DataError

from .outcomes import open_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Judged", "everyday", "everyday_folder", "read_judged", "weighted_kappa"]

_Level = Annotated[float, msgspec.Meta(ge=1, le=5)]


class _Row(msgspec.Struct, frozen=True):
    """One line of a file of judged prompts; keys not named here are let pass."""

    prompt: Annotated[str, msgspec.Meta(min_length=1)]
    kind: str = ""
    id: str = ""
    levels: Annotated[list[_Level], msgspec.Meta(min_length=1)] | None = None
    level: _Level | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """n judged prompts.

    Attributes
    ----------
    kinds
        What sort of prompt each is; "" where that was not said.
    levels
        `(n,)` in [1, 5]: the mean of the judgements.
    """

    ids: tuple[str, ...]
    kinds: tuple[str, ...]
    prompts: tuple[str, ...]
    levels: Floats

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.ids)


def read_judged(files: Sequence[Path]) -> Judged:
    """Read files of judged prompts: JSON Lines (.gz too) of {"prompt", "kind", "id", "level" or "levels": [a, b]}.

    Raises
    ------
    DataError
        Naming file, line and field; or that there is nothing in them.
    """
    ids: list[str] = []
    kinds: list[str] = []
    prompts: list[str] = []
    levels: list[float] = []
    decoder = msgspec.json.Decoder(_Row)
    for path in files:
        for number, line in open_lines(path):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise DataError(f"{where}: {error}") from None
            if row.levels is None and row.level is None:
                raise DataError(
                    f'{where}: neither "level" nor "levels"',
                    hint='a judged prompt looks so: {"prompt": "...", "level": 2}',
                )
            ids.append(row.id or f"{path.name}:{number}")
            kinds.append(row.kind)
            prompts.append(row.prompt)
            levels.append(float(np.mean(row.levels)) if row.levels else float(row.level or 0.0))
    if not ids:
        raise DataError(f"{', '.join(map(str, files))}: no judged prompts")
    return Judged(tuple(ids), tuple(kinds), tuple(prompts), np.array(levels))


def everyday_folder() -> Path:
    """Return where the judged prompts lie that come with scrimp, one file a kind."""
    return Path(__file__).parents[2] / "weights" / "everyday"


def everyday() -> Judged:
    """Return the judged prompts that come with scrimp: what routers are taught difficulty by."""
    return read_judged(sorted(everyday_folder().glob("*.jsonl")))


def weighted_kappa(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> float:
    """Return Cohen's kappa with quadratic weights of two judgements of the same prompts; 1 where they always agree.

    J. Cohen, Weighted kappa (Psychological Bulletin 70, 1968): 1 - observed / expected mean squared difference.

    Examples
    --------
    >>> weighted_kappa([1, 2, 3, 4], [1, 2, 3, 4]), round(weighted_kappa([1, 2, 3, 4], [1, 2, 4, 3]), 2)
    (1.0, 0.8)
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    expected = float(((a[:, None] - b[None, :]) ** 2).mean())
    return 1.0 if expected == 0.0 else 1.0 - float(((a - b) ** 2).mean()) / expected

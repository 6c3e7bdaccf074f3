"""Outcome files: prompts, the models tried on them, how right each was, and what it cost."""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from scrimp.profiles.errors import DataError
from scrimp.profiles.reading import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Outcomes", "open_lines", "read_outcomes"]

_Score = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
_Usd = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class _Cell(msgspec.Struct, frozen=True):
    """One model on one prompt; a score of None is a call that was not made."""

    score: _Score | None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cost_usd: _Usd | None = None
    answer: str | int | float | bool | None = None


class _Row(msgspec.Struct, frozen=True):
    """One line of an outcome file; keys not named here are let pass."""

    id: str
    prompt: str
    models: dict[str, _Cell]
    source: str = ""
    category: str | None = None
    gold: str | int | float | bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Outcomes of n prompts and m models; what was not tried or not recorded is NaN.

    Attributes
    ----------
    score, input_tokens, output_tokens, cost_usd
        `(n, m) float64`; a score lies in [0, 1], a cost is in USD.
    answers
        Per prompt, the normalised answer of each model that has one.
    gold
        Per prompt, the right answer; None where it is not given.
    files
        Where they were read.
    """

    ids: tuple[str, ...]
    sources: tuple[str, ...]
    categories: tuple[str | None, ...]
    prompts: tuple[str, ...]
    models: tuple[str, ...]
    score: NDArray[np.float64]
    input_tokens: NDArray[np.float64]
    output_tokens: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    answers: tuple[dict[str, str], ...] = ()
    gold: tuple[str | None, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What messages call them."""
        return ", ".join(self.files) or "the outcomes"

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.ids)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Outcomes:
        """Return the outcomes of some prompts, in the order given."""
        import numpy as np

        index = np.asarray(rows, dtype=np.intp)
        pick = index.tolist()
        return Outcomes(
            ids=tuple(self.ids[i] for i in pick),
            sources=tuple(self.sources[i] for i in pick),
            categories=tuple(self.categories[i] for i in pick),
            prompts=tuple(self.prompts[i] for i in pick),
            models=self.models,
            score=self.score[index],
            input_tokens=self.input_tokens[index],
            output_tokens=self.output_tokens[index],
            cost_usd=self.cost_usd[index],
            answers=tuple(self.answers[i] for i in pick) if self.answers else (),
            gold=tuple(self.gold[i] for i in pick) if self.gold else (),
            files=self.files,
        )

    def only(self, models: Sequence[str]) -> Outcomes:
        """Return the outcomes of some models, in the order given.

        Raises
        ------
        DataError
            If a model has no outcomes here.
        """
        position = {name: j for j, name in enumerate(self.models)}
        for name in models:
            if name not in position:
                raise DataError(
                    f"no outcomes of a model named {name!r}", hint=f"the file has: {', '.join(sorted(self.models))}"
                )
        columns = [position[name] for name in models]
        return Outcomes(
            ids=self.ids,
            sources=self.sources,
            categories=self.categories,
            prompts=self.prompts,
            models=tuple(models),
            score=self.score[:, columns],
            input_tokens=self.input_tokens[:, columns],
            output_tokens=self.output_tokens[:, columns],
            cost_usd=self.cost_usd[:, columns],
            answers=self.answers,
            gold=self.gold,
            files=self.files,
        )


def open_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines of a file, through gzip where its first bytes say so.

    Raises
    ------
    DataError
        If the file cannot be read, or its compression is broken.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            yield from lines_of(file, str(path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the compressed file is cut short or damaged ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _as_text(value: str | float | None) -> str | None:
    return None if value is None else str(value)


def read_outcomes(paths: Sequence[Path]) -> Outcomes:
    """Read outcome files into one table.

    Parameters
    ----------
    paths
        JSON Lines files, gzipped or not; rows keep their order.

    Raises
    ------
    DataError
        Naming file and line: a line that is not such a row, a score outside [0, 1], an empty prompt, an id given twice;
        or naming the file: no rows, or no models.
    """
    import numpy as np

    decoder = msgspec.json.Decoder(_Row)
    rows: list[_Row] = []
    places: dict[str, str] = {}
    for path in paths:
        before = len(rows)
        for number, line in open_lines(path):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                row = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(
                    f"{place}: not an outcome row: {error}",
                    hint='each line is {"id", "source", "prompt", "models": {NAME: {"score": 0..1, ...}}}',
                ) from error
            if not row.prompt.strip():
                raise DataError(f"{place}: the prompt of {row.id!r} is empty")
            if not row.models:
                raise DataError(f"{place}: the row {row.id!r} names no models")
            if row.id in places:
                raise DataError(f"{place}: the id {row.id!r} was given before, at {places[row.id]}")
            places[row.id] = place
            rows.append(row)
        if len(rows) == before:
            raise DataError(f"{path}: the file holds no outcomes")
    if not rows:
        raise DataError("no outcome files were given")
    models = tuple(dict.fromkeys(name for row in rows for name in row.models))
    column = {name: j for j, name in enumerate(models)}
    score, n_in, n_out, cost = (np.full((len(rows), len(models)), math.nan) for _ in range(4))
    for i, row in enumerate(rows):
        for name, cell in row.models.items():
            j = column[name]
            for table, value in (
                (score, cell.score),
                (n_in, cell.input_tokens),
                (n_out, cell.output_tokens),
                (cost, cell.cost_usd),
            ):
                if value is not None:
                    table[i, j] = value
    answers = tuple(
        {name: str(cell.answer) for name, cell in row.models.items() if cell.answer is not None} for row in rows
    )
    return Outcomes(
        ids=tuple(row.id for row in rows),
        sources=tuple(row.source for row in rows),
        categories=tuple(row.category for row in rows),
        prompts=tuple(row.prompt for row in rows),
        models=models,
        score=score,
        input_tokens=n_in,
        output_tokens=n_out,
        cost_usd=cost,
        answers=answers if any(answers) else (),
        gold=tuple(_as_text(row.gold) for row in rows) if any(row.gold is not None for row in rows) else (),
        files=tuple(map(str, paths)),
    )

"""What a run writes: a journal of results as they come, and at the end the output in the shape the input had."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from scrimp.profiles.errors import DataError, TryAgainError, UsageError
from scrimp.profiles.files import kind_of_file, replacing
from scrimp.profiles.money import usd_from_nano
from scrimp.routing.text.sanitize import encodable
from scrimp.routing.text.spreadsheet import table_line

from .layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Journal",
    "Result",
    "Shape",
    "Status",
    "line_of",
    "record_of",
    "render",
    "restored",
    "result_of",
    "table_columns",
    "write_output",
]

Shape = Literal["jsonl", "openai", "csv", "tsv"]
Status = Literal["ok", "cut", "failed", "unknown", "skipped"]

_COLUMNS = (
    "status", "answer", "arm", "cost_usd", "input_tokens", "output_tokens", "decision_id", "error", "finish_reason",
    "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """How a row ended.

    Attributes
    ----------
    cost_nano
        What the row cost in all, nano-USD; None where a part of it is not known.
    source
        `asked`, `same` (an equal row's answer), or `cache`.
    note
        A remark on an answer: that not all of the prompt seems to have been read.
    cells
        The row of a table as it was; where what is private is replaced, with placeholders until the output is written.
    sealed
        What tells that a row's placeholders stand for what they stood for (`Row.sealed`); None where it has none.
    """

    n: int
    id: str | int
    status: Status
    decision_id: str | None
    answer: str | None = None
    arm: str | None = None
    cost_nano: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: str | None = None
    source: str = "asked"
    finish_reason: str | None = None
    model: str | None = None
    at: int = 0
    cells: tuple[str, ...] | None = None
    note: str | None = None
    sealed: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row of a JSON Lines output."""
        return {
            "id": self.id,
            "status": self.status,
            "answer": self.answer,
            "arm": self.arm,
            "cost_usd": None if self.cost_nano is None else usd_from_nano(self.cost_nano),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "decision_id": self.decision_id,
            "error": self.error,
            "source": self.source,
            "finish_reason": self.finish_reason,
            "note": self.note,
        }


def render(result: Result, shape: Shape, layout: Layout | None = None) -> str:
    """Return a result as it stands in the output, its newline included; a table is laid out as its input was."""
    if shape == "jsonl":
        return json.dumps(result.to_dict(), ensure_ascii=False) + "\n"
    if shape == "openai":
        return json.dumps(_openai(result), ensure_ascii=False) + "\n"
    row = result.to_dict()
    ours = ("" if row[name] is None else _cell(row[name]) for name in _COLUMNS)
    return encodable(_line([*(result.cells or ()), *ours], shape, layout))


def table_columns(columns: Sequence[str], shape: Shape, layout: Layout | None = None) -> str:
    """Return the header of a table's output: the input's columns, then ours (`scrimp_` before a name that is taken)."""
    before = ""
    if layout is not None:
        before = "\ufeff" * layout.bom + (f"sep={layout.separator}{layout.newline}" if layout.stated else "")
    return before + _line(_names(columns), shape, layout)


def _names(columns: Sequence[str]) -> list[str]:
    taken = set(columns)
    ours = []
    for name in _COLUMNS:
        while name in taken:
            name = f"scrimp_{name}"  # noqa: PLW2901 - the output of a run may be the input of another
        taken.add(name)
        ours.append(name)
    return [*columns, *ours]


def record_of(columns: Sequence[str]) -> Callable[[Result], str]:
    """Return what makes a line of JSON of a table's row: its cells and what is ours, by their columns."""
    names = _names(columns)

    def record(result: Result) -> str:
        row = result.to_dict()
        values = [*(result.cells or ()), *(row[name] for name in _COLUMNS)]
        return json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False) + "\n"

    return record


def _line(cells: Sequence[str], shape: Shape, layout: Layout | None) -> str:
    layout = layout or Layout(separator="\t" if shape == "tsv" else ",")
    return table_line(cells, separator=layout.separator, newline=layout.newline)


def _cell(value: Any) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _openai(result: Result) -> dict[str, Any]:
    """Return the row of an OpenAI Batch output file, and beside it what that shape has no place for."""
    row = result.to_dict()
    response = error = None
    if result.answer is not None:  # an answer that failed a check is there too, beside the error
        known = result.input_tokens is not None and result.output_tokens is not None
        total = (result.input_tokens or 0) + (result.output_tokens or 0)
        response = {
            "status_code": 200,
            "request_id": result.decision_id,
            "body": {
                "id": f"chatcmpl-{result.decision_id}",
                "object": "chat.completion",
                "created": result.at,
                "model": result.model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": result.answer},
                        "logprobs": None,
                        "finish_reason": result.finish_reason or "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": result.input_tokens,
                    "completion_tokens": result.output_tokens,
                    "total_tokens": total,
                }
                if known
                else None,
            },
        }
    if result.status != "ok":
        error = {"code": result.status, "message": result.error}
    ours = {key: row[key] for key in ("status", "arm", "cost_usd", "decision_id", "source", "finish_reason", "note")}
    return {
        "id": f"batch_req_{result.decision_id or result.n}",
        "custom_id": str(result.id),
        "response": response,
        "error": error,
        "scrimp": ours,
    }


class Journal:
    """The partial file: one JSON line for each result in the order they come, locked by the run that writes it.

    Parameters
    ----------
    path
        Beside the output: `OUTPUT.partial`.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self.size = os.fstat(fd).st_size

    @classmethod
    def open(cls, path: Path, *, new: bool) -> Self:
        """Open it, alone.

        Raises
        ------
        UsageError
            If the folder cannot be written, or (with `new`) it is there already.
        TryAgainError
            If another run writes it now.
        """
        from filelock import lock_descriptor

        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise UsageError(
                f"cannot write {path}: it is {kind_of_file(path)}", hint="Remove it, or choose another -o."
            )
        if not lock_descriptor(fd, blocking=False):
            os.close(fd)
            raise TryAgainError(
                f"the run that writes {path} is still going", hint="Wait for it, or stop it with Ctrl-C."
            ) from None
        if new and os.fstat(fd).st_size > 0:  # an empty one was left by a run that had not begun
            os.close(fd)
            raise UsageError(
                f"{path} is there: another run is not finished",
                hint="Go on with it (--resume), or start anew (--overwrite).",
            )
        return cls(path, fd)

    def append(self, lines: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write lines and have them on disk; return where each stands (offset, length).

        Raises
        ------
        DataError
            If the disk is full or failing: then the file is as it was.
        """
        data, spans = b"".join(lines), []
        at = self.size
        for line in lines:
            spans.append((at, len(line)))
            at += len(line)
        try:
            view = memoryview(data)
            offset = self.size
            while view:
                n = os.pwrite(self._fd, view, offset)
                offset, view = offset + n, view[n:]
            os.fsync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):  # a torn line at the end is cut when the run is resumed
                os.ftruncate(self._fd, self.size)
            raise DataError(
                f"cannot write {self.path}: {error.strerror}",
                hint="Free some space on that disk, then go on with --resume.",
            ) from None
        self.size = at
        return spans

    def read(self, offset: int, length: int) -> dict[str, Any]:
        """Return the entry that stands somewhere."""
        entry: dict[str, Any] = json.loads(os.pread(self._fd, length, offset))
        return entry

    def lines(self, start: int) -> list[bytes]:
        """Return whole lines that are on disk from `start` on: about a megabyte of them, and one at least."""
        most = 1 << 20
        while True:
            there = os.pread(self._fd, min(most, self.size - start), start)
            whole = there.rfind(b"\n") + 1
            if whole or len(there) < most:
                return [line + b"\n" for line in there[:whole].split(b"\n")[:-1]]
            most *= 2

    def tail(self, start: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Yield (offset, length, entry) for every whole line from `start`, and cut off what was not written whole.

        Raises
        ------
        DataError
            If a line was written whole and is no JSON: it was changed since.
        """
        at = start
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    entry = json.loads(line)
                except ValueError:
                    # The end of the file, or a part that was not on disk when the machine lost power.
                    if at + len(line) == os.fstat(self._fd).st_size or b"\0" in line:
                        break
                    raise DataError(
                        f"{self.path}: the line at byte {at:,} is not what the run wrote: it is no JSON",
                        hint="Put it back as it was, or start anew with --overwrite.",
                    ) from None
                yield at, len(line), entry
                at += len(line)
        if at < os.fstat(self._fd).st_size:
            os.ftruncate(self._fd, at)
        self.size = at

    def close(self) -> None:
        """Close it, and give up the lock."""
        os.close(self._fd)


def result_of(entry: dict[str, Any]) -> Result:
    """Return the result in a journal's entry."""
    values = dict(entry["result"])
    cells = values.pop("cells", None)
    return Result(**values, cells=None if cells is None else tuple(cells))


def restored(result: Result, restore: Callable[[str], str]) -> Result:
    """Return a result with the values that placeholders in it stand for."""

    def back(text: str | None) -> str | None:
        return None if text is None else restore(text)

    return replace(
        result,
        id=restore(result.id) if isinstance(result.id, str) else result.id,
        answer=back(result.answer),
        error=back(result.error),
        note=back(result.note),
        cells=None if result.cells is None else tuple(map(restore, result.cells)),
    )


def line_of(
    result: Result,
    shape: Shape | Callable[[Result], str],
    layout: Layout | None = None,
    values: Mapping[int, Callable[[str], str]] | None = None,
) -> str:
    """Return a result as it stands in the output (`write_output`), its newline included."""
    if values and (restore := values.get(result.n)) is not None:
        result = restored(result, restore)
    return shape(result) if callable(shape) else render(result, shape, layout)


def write_output(
    path: Path,
    journal: Journal,
    spans: Iterable[tuple[int, int]],
    shape: Shape | Callable[[Result], str],
    head: str = "",
    layout: Layout | None = None,
    values: Mapping[int, Callable[[str], str]] | None = None,
) -> int:
    """Write the output whole beside its place, then rename it there; return how many rows it has.

    Parameters
    ----------
    spans
        Where the journal holds the results, in the output's order.
    shape
        How each stands in the output, or what makes its line.
    head
        What comes first (a table's header).
    layout
        How the input was laid out.
    values
        Puts into a row's texts what its placeholders stand for, by its place.

    Raises
    ------
    DataError
        If the disk is full or failing: the journal stays, and the run can be resumed.
    """
    n = 0
    try:
        with contextlib.ExitStack() as files:
            out: Any = files.enter_context(replacing(path, mode=0o666))
            if path.suffix == ".gz":
                out = files.enter_context(gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0))
            out.write(head.encode())
            for offset, length in spans:
                line = line_of(result_of(journal.read(offset, length)), shape, layout, values)
                out.write(line.encode("utf-8", "replace"))
                n += 1
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror}", hint="Nothing is lost: free some space, then go on with --resume."
        ) from None
    return n

"""Where an output goes that is no file beside its journal: a URL, or another format; whole, once all of it is there."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Self

from scrimp.profiles.errors import TryAgainError, UsageError
from scrimp.profiles.files import replacing
from scrimp.profiles.paths import make_private_dir
from scrimp.routing.ledger.batches import partial_of
from scrimp.routing.text.spreadsheet import table_line

from .elsewhere import is_parquet, located, reason
from .source import format_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .elsewhere import Location
    from .source import Format

__all__ = ["Delivery", "clear", "staged"]

Kind = Literal["parquet", "csv", "tsv", "jsonl"]

_GROUP: Final = 10_000
"""Rows of a group of a Parquet file."""

_COPIED: Final = 1 << 22

_KNOWN: Final = {"cost_usd": float, "input_tokens": int, "output_tokens": int}
"""Columns whose type does not depend on what is in them; those without any value are text."""


def staged(folder: Path, target: str) -> Path:
    """Return where an output is written before it is delivered: the same place for the same target."""
    name = PurePosixPath(target).name or "output"
    return folder / f"{hashlib.sha256(target.encode()).hexdigest()[:16]}-{name[-80:]}"


def clear(output: Path) -> None:
    """Make room for the output of a new run: take away what a process left that ended just when it was delivered."""
    make_private_dir(output.parent)
    if not partial_of(output).exists():
        output.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Brings an output to where it goes.

    Attributes
    ----------
    target
        A URL, or the whole path of a file; its name says in which format: that of the output where it says nothing.
    place
        Where that is, looked up early: variables that lead there (`AWS_ENDPOINT_URL`) are gone when calls are made.
    """

    target: str
    place: Location

    @classmethod
    def to(cls, target: str) -> Self:
        """Return what delivers to a target.

        Raises
        ------
        UsageError
            If it is a URL of a kind that nothing here writes.
        """
        return cls(target, located(target))

    @property
    def kind(self) -> Kind | None:
        """The format that the name says."""
        if is_parquet(self.target):
            return "parquet"
        named = format_named(PurePosixPath(self.target))
        return None if named == "lines" else named

    def takes_rows(self, source: Format) -> bool:
        """Whether the output is wanted as JSON objects, to be written anew, where the input has a format."""
        own = source if source in ("csv", "tsv") else "jsonl"
        return self.kind not in (None, own)

    def check(self, *, overwrite: bool) -> None:
        """Refuse a target that cannot be written, or is there already.

        Raises
        ------
        UsageError
            If so.
        """
        from pyarrow.fs import FileType

        place = self.place
        try:
            found = place.system.get_file_info(place.path).type
            parent = place.system.get_file_info(str(PurePosixPath(place.path).parent)).type
        except OSError as error:
            raise UsageError(f"cannot write {self.target}: {reason(error)}") from None
        if found == FileType.Directory or self.target.endswith("/"):
            raise UsageError(f"{self.target} is a folder", hint="-o names a file.")
        if found == FileType.File and not overwrite:
            raise UsageError(
                f"{self.target} is there already", hint="Replace it with --overwrite, or go on with its run: --resume."
            )
        if place.local and parent != FileType.Directory:
            raise UsageError(f"there is no folder {PurePosixPath(place.path).parent}")

    def deliver(self, output: Path, *, rows: bool) -> None:
        """Bring an output there, in place of what is there.

        Parameters
        ----------
        output
            A finished output.
        rows
            It holds JSON objects (`takes_rows`).

        Raises
        ------
        TryAgainError
            If it cannot be written: nothing is lost.
        """
        made = output.with_name(f".{output.name}.made")
        try:
            if rows:
                self._make(output, made)
            self._put(made if rows else output)
        except OSError as error:
            raise TryAgainError(
                f"the output cannot be brought to {self.target}: {reason(error)}",
                hint="Nothing is lost: --resume tries again.",
            ) from None
        finally:
            made.unlink(missing_ok=True)

    def _make(self, output: Path, made: Path) -> None:
        kinds = _kinds(output)
        if self.kind == "parquet":
            _to_parquet(output, made, kinds)
            return
        separator = "\t" if self.kind == "tsv" else ","
        with ExitStack() as files:
            file: Any = files.enter_context(made.open("wb"))
            if self.target.endswith(".gz"):
                file = files.enter_context(gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0))
            if self.kind != "jsonl":
                file.write(table_line(kinds, separator=separator).encode())
            for row in _rows(output):
                if self.kind == "jsonl":
                    line = json.dumps(row, ensure_ascii=False) + "\n"
                else:
                    line = table_line([_cell(row.get(name)) for name in kinds], separator=separator)
                file.write(line.encode("utf-8", "replace"))

    def _put(self, made: Path) -> None:
        place = self.place
        with made.open("rb") as read:
            if place.local:
                with replacing(Path(place.path), mode=0o666) as file:
                    shutil.copyfileobj(read, file, _COPIED)
                return
            part = f"{place.path}.unfinished"
            try:
                with place.system.open_output_stream(part, compression=None) as file:
                    shutil.copyfileobj(read, file, _COPIED)
                place.system.move(part, place.path)
            except BaseException:
                with suppress(OSError):
                    place.system.delete_file(part)
                raise


def _rows(output: Path) -> Iterator[dict[str, Any]]:
    def opened() -> IO[bytes]:
        return gzip.open(output, "rb") if output.suffix == ".gz" else output.open("rb")  # type: ignore[return-value]

    with opened() as file:
        for line in file:
            yield json.loads(line)


def _kinds(output: Path) -> dict[str, type]:
    """Return the columns of an output, in order, and what is in each: int, float or str."""
    seen: dict[str, set[type]] = {}
    for row in _rows(output):
        for name, value in row.items():
            kinds = seen.setdefault(name, set())
            if value is not None:
                wide = isinstance(value, int) and not -(2**63) <= value < 2**63
                kinds.add(str if wide else type(value))
    return {name: _kind(name, kinds) for name, kinds in seen.items()}


def _kind(name: str, kinds: set[type]) -> type:
    known = _KNOWN.get(name.removeprefix("scrimp_"))
    if known is not None and kinds <= {int, float}:
        return known
    if kinds == {int}:
        return int
    return float if kinds and kinds <= {int, float} else str


def _to_parquet(output: Path, made: Path, kinds: dict[str, type]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    types = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])

    def write(rows: list[dict[str, Any]]) -> None:
        columns = [pa.array([_as(kind, row.get(name)) for row in rows], types[kind]) for name, kind in kinds.items()]
        writer.write_table(pa.Table.from_arrays(columns, schema=schema))

    held: list[dict[str, Any]] = []
    with ParquetWriter(made, schema) as writer:
        for row in _rows(output):
            held.append(row)
            if len(held) == _GROUP:
                write(held)
                held = []
        if held:
            write(held)


def _as(kind: type, value: Any) -> Any:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if kind is str else None
    return kind(value) if text is None else text.encode("utf-8", "replace").decode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)

"""Rows of JSON that does not stand one value to a line: an array, objects over several lines, rows under one key."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError, UsageError

from .json_rows import row_of
from .places import named_in
from .rows import MAX_ROW_BYTES, BadRow, Row, decode

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .source import Lines, Source

__all__ = ["document_rows"]

_GAP: Final = re.compile(r"[\s,\x1e]*")
_COLON: Final = re.compile(r"\s*:\s*")
_SCAN: Final = json.JSONDecoder()
_ROW_KEYS: Final = frozenset({"prompt", "messages", "body", "custom_id", "params", "contents", "request"})


def document_rows(source: Source) -> Iterator[Row | BadRow]:
    """Yield the rows of a JSON document, which is read whole.

    Raises
    ------
    DataError
        If it is too large for that, or not JSON; the message names the line.
    """
    with source.lines() as file:
        raw = _all(file)
    if len(raw) > MAX_ROW_BYTES:
        raise DataError(
            f"{source.name} is one JSON value of over {MAX_ROW_BYTES // 1024 // 1024} MB",
            hint="Make it JSON Lines, one row a line: jq -c '.[]' FILE > NEW.jsonl",
        )
    try:
        text = decode(raw)
    except UsageError as error:
        raise DataError(f"{source.name} is {error.message}", hint=error.hint) from None
    at, line = 0, 1
    for n, (start, value) in enumerate(_values(source, text)):
        line += text.count("\n", at, start)
        at = start
        try:
            yield row_of(source, n, line, value, own=n + 1)
        except (UsageError, DataError) as error:
            yield BadRow(n, line, error.message, error.hint)


def _all(file: Lines) -> bytes:
    """Return a whole file, or a byte more than is read of one."""
    parts: list[bytes] = []
    n = 0
    while n <= MAX_ROW_BYTES and (part := file.readline(1 << 20)):
        parts.append(part)
        n += len(part)
    return b"".join(parts)


def _values(source: Source, text: str) -> Iterator[tuple[int, Any]]:
    """Yield each row's value with where it begins."""
    at = _gap(text, 0)
    if text.startswith("{", at):
        value, end = _decoded(source, text, at)
        key = _rows_key(source, value) if _gap(text, end) == len(text) else None
        if key is not None:
            at = _place_of(text, at, key)
            text = text[: _decoded(source, text, at)[1]]
    while at < len(text):
        if text.startswith("[", at):
            at = yield from _items(source, text, at)
        else:
            value, end = _decoded(source, text, at)
            yield at, value
            at = end
        at = _gap(text, at)


def _items(source: Source, text: str, at: int) -> Generator[tuple[int, Any], None, int]:
    """Yield an array's items; return where it ends."""
    at = _gap(text, at + 1)
    while not text.startswith("]", at):
        value, end = _decoded(source, text, at)
        yield at, value
        at = _gap(text, end)
    return at + 1


def _gap(text: str, at: int) -> int:
    """Return where the next value begins: commas, and the separators of text sequences, are passed over."""
    found = _GAP.match(text, at)
    assert found is not None  # noqa: S101 - it matches nothing, too
    return found.end()


def _decoded(source: Source, text: str, at: int) -> tuple[Any, int]:
    try:
        return _SCAN.raw_decode(text, at)
    except json.JSONDecodeError as error:
        where = f"{source.name}, line {error.lineno}, column {error.colno}"
        raise DataError(f"{where}: not JSON: {error.msg}", hint="Is the file complete?") from None
    except RecursionError:
        line = text.count("\n", 0, at) + 1
        raise DataError(f"{source.name}, line {line}: not JSON: nested too deeply") from None


def _rows_key(source: Source, value: dict[str, Any]) -> str | None:
    """Return under which key of an object the rows stand; None where it is a row itself."""
    own = {source.column} if source.template is None else set(named_in(source.template))
    if value.keys() & (_ROW_KEYS | own):
        return None
    lists = [
        key
        for key, item in value.items()
        if isinstance(item, list) and item and all(isinstance(each, dict) for each in item)
    ]
    return lists[0] if len(lists) == 1 else None


def _place_of(text: str, at: int, wanted: str) -> int:
    """Return where the value of an object's key begins."""
    while True:
        key, end = _SCAN.raw_decode(text, _gap(text, at + 1))
        colon = _COLON.match(text, end)
        assert colon is not None  # noqa: S101 - the object has been read
        if key == wanted:
            return colon.end()
        at = _SCAN.raw_decode(text, colon.end())[1] - 1

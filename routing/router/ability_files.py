"""A user's own table of abilities: read from JSON or CSV, checked, stored over the one that ships."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ConfigError, DataError
from scrimp.profiles.reading import read_bytes

from .abilities import SCHEMA, AbilityTable, Known, check_table, shipped_table
from .placed import Z80

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["check_file", "load_table"]

_WIDTH: Final = 2 * Z80  # an 80% interval's width, in standard deviations
_MOST: Final = 20.0  # logits; nobody is so able
_COLUMNS: Final = ("model", "ability", "low", "high")
_HINT: Final = "`scrimp models abilities --forget` removes it; `--update FILE` puts another in its place."


def load_table(own: Path | None) -> AbilityTable:
    """Return the shipped table, the user's own over it where there is one.

    Raises
    ------
    ConfigError
        If the user's is there and cannot be used, or the shipped one is damaged.
    """
    if own is None:
        return shipped_table()
    try:
        data = read_bytes(own)
    except FileNotFoundError:
        return shipped_table()
    except OSError as error:
        raise ConfigError(f"the table of abilities {own} cannot be read: {error.strerror}") from None
    try:
        return _read(data, own.name)
    except DataError as error:
        raise ConfigError(error.message, hint=_HINT) from None


def check_file(data: bytes, what: str) -> tuple[bytes, int]:
    """Return a user's file in the form it is stored in, and how many models it places.

    Parameters
    ----------
    data
        A table in the shipped form; or what `scrimp models abilities --json` prints; or CSV with the columns model,
        ability, low, high (the 80% interval) and, if known, released (a year, or a date).
    what
        What the file is called, for messages.

    Raises
    ------
    DataError
        If it is none of these; the message names the file, the line or row, and the field.
    """
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start not in (b"{", b"["):
        rows = _from_csv(data, what)
        data = json.dumps({"schema_version": SCHEMA, "abilities": rows}, ensure_ascii=False, indent=1).encode()
    table = _read(data, what)
    return data, table.n_own or len(table)


def _read(data: bytes, what: str) -> AbilityTable:
    """Return the table that a file of JSON makes: a whole one, or rows over the shipped one."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what}: not JSON: {error}") from None
    if isinstance(found, dict) and "place" in found:
        return AbilityTable(check_table(data, what), what)
    if not isinstance(found, dict) or found.get("schema_version") != SCHEMA:
        raise DataError(
            f"{what}: expected a table of abilities with schema_version {SCHEMA}",
            hint="Either the form of `scrimp models abilities --json`, or CSV: model,ability,low,high.",
        )
    rows = found.get("abilities")
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{what}: abilities: expected a list of models")
    return shipped_table().with_own(_rows(((f"row {k}", row) for k, row in enumerate(rows, 1)), what), what)


def _from_csv(data: bytes, what: str) -> list[dict[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{what}: not UTF-8 at byte {error.start}") from None
    reader = csv.DictReader(io.StringIO(text))
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        if missing := [name for name in _COLUMNS if name not in names]:
            raise DataError(
                f"{what}: line 1: no column {', '.join(missing)}", hint="CSV: model,ability,low,high,released."
            )
        lines = [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{what}: line {reader.line_num}: {error}") from None
    if not lines:
        raise DataError(f"{what}: no model in it")
    for where, row in lines:
        for key in (*_COLUMNS[1:], "released"):
            if row.get(key) not in (None, ""):
                row[key] = _number(row[key], key, f"{what}: {where}")
    _rows(iter(lines), what)
    kept = (*_COLUMNS, "released")
    return [{key: row[key] for key in kept if row.get(key) not in (None, "")} for _, row in lines]


def _number(text: str, key: str, where: str) -> float:
    if key == "released" and len(parts := text.strip().split("-")) > 1 and all(part.isdigit() for part in parts):
        return round(int(parts[0]) + (int(parts[1]) - 0.5) / 12, 2)
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where}: {key}: expected a number, got {text[:40]!r}") from None


def _rows(rows: Iterable[tuple[str, Any]], what: str) -> dict[str, Known]:
    found: dict[str, Known] = {}
    for place, row in rows:
        where = f"{what}: {place}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected an object with model, ability, low, high")
        model = row.get("model")
        if not isinstance(model, str) or not model.strip():
            raise DataError(f"{where}: model: expected a model's name")
        ability, low, high = (_finite(row, key, where) for key in _COLUMNS[1:])
        if not low <= ability <= high:
            raise DataError(f"{where}: {model}: expected low <= ability <= high, got {low:g}, {ability:g}, {high:g}")
        released = None if row.get("released") in (None, "") else _finite(row, "released", where, most=3000.0)
        found[model] = Known(ability, max((high - low) / _WIDTH, 0.01), released, 0, None)
    return found


def _finite(row: Mapping[str, Any], key: str, where: str, *, most: float = _MOST) -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        got = "nothing" if value in (None, "") else repr(value)[:40]
        raise DataError(f"{where}: {key}: expected a number, got {got}")
    if abs(value) > most:
        raise DataError(f"{where}: {key}: expected {-most:g} to {most:g}, got {value:g}")
    return float(value)

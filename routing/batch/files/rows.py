"""Rows of an input file: JSON Lines, the OpenAI Batch shape, CSV, TSV or plain lines; read as a stream."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import zlib
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.prompts.prompt import Attachment, Prompt, Turn
from scrimp.routing.text.clean import MAX_PROMPT_BYTES, clean_text
from scrimp.routing.text.sanitize import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["BadRow", "Format", "Row", "Scan", "Source", "content_key", "good_rows", "header", "read_rows", "scan"]

Format = Literal["jsonl", "csv", "tsv", "lines"]

MAX_ROW_BYTES: Final = MAX_PROMPT_BYTES
"""A longer line is skipped as it streams past, and reported."""

_SUFFIXES: Final[dict[str, Format]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "lines",
}
_VARIABLE: Final = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_BODY_PARAMS: Final = frozenset({"temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty"})
_BODY_IGNORED: Final = frozenset({"model", "user", "metadata", "store", "service_tier", "stream_options"})
_DATA_URL: Final = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,(.*)", re.DOTALL)
_MAX_REPORTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Source:
    """A file of prompts and how to read it.

    Attributes
    ----------
    name
        What messages call it.
    column
        The column (CSV, TSV) or key (JSON Lines) that holds the prompt; None finds it.
    template
        A text with `{{column}}` in it, that makes the prompt.
    system
        A system prompt for rows that bring none.
    schema, needs
        What every answer must satisfy, and what every arm must be able to do.
    """

    path: Path
    format: Format
    name: str
    column: str | None = None
    template: str | None = None
    system: str | None = None
    schema: Mapping[str, Any] | None = None
    needs: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        path: Path,
        *,
        name: str | None = None,
        format: Format | None = None,  # noqa: A002 - the flag's own word
        column: str | None = None,
        template: str | None = None,
        system: str | None = None,
        schema: Mapping[str, Any] | None = None,
        needs: frozenset[str] = frozenset(),
    ) -> Source:
        """Return the source of a path; a format that is not given is taken from its name, or from how it begins.

        Raises
        ------
        UsageError
            If it cannot be read.
        """
        suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
        found = format or (_SUFFIXES.get(suffixes[-1]) if suffixes else None)
        if found is None:
            with _open(path, name or str(path)) as file:
                start = file.read(4096)
            found = "jsonl" if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "lines"
        return cls(path, found, name or str(path), column, template, system, schema, needs)


@dataclass(frozen=True, slots=True)
class Row:
    """One row that can be asked.

    Attributes
    ----------
    n
        Its place in the file, from 0, counting rows that cannot be read too.
    line
        Its line, from 1.
    max_output_tokens, params, response_format
        What an OpenAI Batch row asks for.
    plan
        The plan that it is to be asked by, as `--plan` spells one; None leaves it to the run.
    openai
        It has the OpenAI Batch shape, and its answer gets that shape.
    cells
        A CSV row as it was, to be kept in the output.
    """

    n: int
    line: int
    id: str | int
    prompt: Prompt
    max_output_tokens: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    response_format: Mapping[str, Any] | None = None
    openai: bool = False
    cells: tuple[str, ...] | None = None
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be asked, and why."""

    n: int
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over a file found.

    Attributes
    ----------
    n_rows
        Rows, bad ones included.
    bad
        The bad ones (the first thousand); `n_bad` counts all.
    duplicates
        Places of rows whose id an earlier row has.
    repeated
        64-bit content hashes that more than one row has.
    openai
        The rows have the OpenAI Batch shape.
    sha256
        Of the file's bytes.
    """

    n_rows: int
    bad: tuple[BadRow, ...]
    n_bad: int
    duplicates: frozenset[int]
    repeated: frozenset[int]
    openai: bool
    sha256: str

    @property
    def n_good(self) -> int:
        """Rows that can be asked."""
        return self.n_rows - self.n_bad


def content_key(row: Row) -> bytes:
    """Return 16 bytes that are equal for rows that ask the same in the same way (ids aside)."""
    prompt = row.prompt
    what = [
        prompt.system,
        [[turn.prompt, turn.answer] for turn in prompt.history],
        prompt.text,
        [attachment.describe() for attachment in prompt.attachments],
        prompt.schema_text,
        row.max_output_tokens,
        dict(row.params),
        row.response_format,
        row.plan,
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest()[:16]


def scan(source: Source) -> Scan:
    """Read a file once: count its rows, find the bad ones, equal ids and equal prompts. Memory: 16 bytes a row.

    Raises
    ------
    UsageError
        If it cannot be read, or a column is not there.
    DataError
        If it is damaged, or empty.
    """
    import numpy as np

    ids, contents, numbers = array("Q"), array("Q"), array("Q")
    bad: list[BadRow] = []
    n_rows = n_bad = 0
    openai: bool | None = None
    for row in read_rows(source):
        n_rows += 1
        if isinstance(row, Row) and openai is not None and row.openai is not openai:
            shape = "the OpenAI Batch shape" if openai else "another shape than OpenAI's"
            row = BadRow(row.n, row.line, f"the rows before it have {shape}")  # noqa: PLW2901 - it is bad after all
        if isinstance(row, BadRow):
            n_bad += 1
            if len(bad) < _MAX_REPORTED:
                bad.append(row)
            continue
        openai = row.openai
        ids.append(int.from_bytes(hashlib.sha256(str(row.id).encode()).digest()[:8], "little"))
        contents.append(int.from_bytes(content_key(row)[:8], "little"))
        numbers.append(row.n)
    if n_rows == 0:
        raise DataError(f"{source.name} has no rows", hint="Each line of it should hold a prompt.")

    def repeated(hashes: array[int]) -> frozenset[int]:
        values, counts = np.unique(np.frombuffer(hashes, dtype=np.uint64), return_counts=True)
        return frozenset(int(value) for value in values[counts > 1])

    duplicates: dict[int, BadRow] = {}
    if twice := repeated(ids):
        duplicates = _duplicates(source, twice)
        n_bad += len(duplicates)
        bad = sorted([*bad, *list(duplicates.values())[:_MAX_REPORTED]], key=lambda each: each.n)
    return Scan(
        n_rows=n_rows,
        bad=tuple(bad),
        n_bad=n_bad,
        duplicates=frozenset(duplicates),
        repeated=repeated(contents),
        openai=bool(openai),
        sha256=_sha256(source),
    )


def good_rows(source: Source, found: Scan) -> Iterator[Row]:
    """Yield the rows of a scanned file that can be asked."""
    for row in read_rows(source):
        if isinstance(row, Row) and row.n not in found.duplicates and row.openai is found.openai:
            yield row


def _duplicates(source: Source, twice: frozenset[int]) -> dict[int, BadRow]:
    """Return the rows that have an earlier row's id, by place."""
    first: dict[str, int] = {}
    found = {}
    for row in read_rows(source):
        if (
            isinstance(row, Row)
            and int.from_bytes(hashlib.sha256(str(row.id).encode()).digest()[:8], "little") in twice
        ):
            name = str(row.id)
            if name in first:
                shown = name if len(name) <= 60 else name[:57] + "..."
                found[row.n] = BadRow(row.n, row.line, f"its id {shown!r} stands on line {first[name]} too")
            else:
                first[name] = row.line
    return found


def _sha256(source: Source) -> str:
    digest = hashlib.sha256()
    try:
        with source.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise _unreadable(source.name, error) from None
    return digest.hexdigest()


def _unreadable(name: str, error: Exception) -> UsageError:
    return UsageError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}")


@contextmanager
def _open(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file, unpacking it where it is gzip."""
    try:
        with path.open("rb") as raw:
            start = raw.read(2)
            raw.seek(0)
            if start in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(
                    f"{name} is UTF-16, not UTF-8", hint="Convert it first: iconv -f utf-16 -t utf-8 FILE > NEW"
                )
            if start == b"\x1f\x8b":
                with gzip.open(raw, "rb") as file:
                    yield file  # type: ignore[misc]  # a GzipFile reads like any other
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is damaged: {error}", hint="Is the file complete?") from None
    except OSError as error:
        raise _unreadable(name, error) from None


def header(source: Source) -> tuple[str, ...]:
    """Return the columns of a CSV or TSV file.

    Raises
    ------
    UsageError
        If it has none, or two of a name.
    """
    with _open(source.path, source.name) as file:
        return _header(source, _cells(source, file))


def read_rows(source: Source) -> Iterator[Row | BadRow]:
    """Yield every row of a file, good or bad, in order; memory is bounded by the longest row.

    Raises
    ------
    UsageError
        If it cannot be read, or a column is not there.
    DataError
        If the file is damaged.
    """
    with _open(source.path, source.name) as file:
        if source.format in ("csv", "tsv"):
            yield from _table(source, file)
            return
        make = _json_row if source.format == "jsonl" else _line_row
        n = 0
        for line, raw in _lines(file):
            if raw is not None and not raw.strip():
                continue
            try:
                yield make(source, n, line, _decode(raw))
            except (UsageError, DataError) as error:
                yield BadRow(n, line, error.message)
            n += 1


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line with its number; None stands for one that is too long."""
    line = 0
    while raw := file.readline(MAX_ROW_BYTES + 1):
        line += 1
        if len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(1 << 20)
            yield line, None
            continue
        if line == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        yield line, raw


def _decode(raw: bytes | None) -> str:
    if raw is None:
        raise UsageError(f"it is over {MAX_ROW_BYTES // 1024 // 1024} MB")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}") from None


def _line_row(source: Source, n: int, line: int, text: str) -> Row:
    text = text.rstrip("\r\n")
    if source.template is not None:
        text = _fill(source.template, {"input": text, "line": text})
    return Row(n, line, str(line), _prompt(source, text))


def _json_row(source: Source, n: int, line: int, text: str) -> Row:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error) or "nested too deeply"
        raise DataError(f"not JSON: {what}") from None
    if not isinstance(value, dict):
        raise DataError(f"expected an object, got {_kind(value)}")
    if isinstance(value.get("body"), dict) and source.column is None and source.template is None:
        return _openai_row(source, n, line, value)
    name = _id(value.get("id", value.get("custom_id")), line)
    system = value.get("system")
    if system is not None and not isinstance(system, str):
        raise DataError(f"system: expected text, got {_kind(system)}")
    plan = value.get("plan")
    if plan is not None and not isinstance(plan, str):
        raise DataError(f"plan: expected text such as 'small ? checks > large', got {_kind(plan)}")
    if source.template is not None:
        return Row(n, line, name, _prompt(source, _fill(source.template, value), system=system), plan=plan)
    key = source.column or "prompt"
    if key in value:
        if not isinstance(value[key], str):
            raise DataError(f"{key}: expected text, got {_kind(value[key])}")
        return Row(n, line, name, _prompt(source, value[key], system=system), plan=plan)
    if source.column is None and "messages" in value:
        return Row(n, line, name, _chat(source, value["messages"]), plan=plan)
    wanted = repr(key) if source.column else '"prompt" or "messages"'
    raise DataError(f"no {wanted} in it (it has: {', '.join(map(repr, list(value)[:8])) or 'nothing'})")


def _openai_row(source: Source, n: int, line: int, value: dict[str, Any]) -> Row:
    """Read a row of OpenAI's Batch files; what would change its price or its shape and is not known is refused."""
    body = value["body"]
    url = value.get("url", "/v1/chat/completions")
    if not isinstance(url, str) or not url.endswith("/chat/completions"):
        raise DataError(f"url: only /v1/chat/completions is answered, not {str(url)[:60]!r}")
    limit: int | None = None
    params: dict[str, Any] = {}
    response_format: Mapping[str, Any] | None = None
    for key, item in body.items():
        if key == "messages" or key in _BODY_IGNORED or item is None:
            continue
        if key in ("max_tokens", "max_completion_tokens"):
            if not isinstance(item, int) or isinstance(item, bool) or item < 1:
                raise DataError(f"body.{key}: expected a whole number above 0")
            limit = item if limit is None else min(limit, item)
        elif key in _BODY_PARAMS:
            params[key] = item
        elif key == "response_format" and isinstance(item, dict):
            response_format = None if item.get("type") == "text" else item
        elif (key == "n" and item == 1) or (key == "stream" and item is False):
            continue
        else:
            raise DataError(f"body.{key} is not supported")
    prompt = _chat(source, body.get("messages"), needs=frozenset() if response_format is None else frozenset({"json"}))
    name = _id(value.get("custom_id", value.get("id")), line)
    return Row(n, line, name, prompt, limit, params, response_format, openai=True)


def _chat(source: Source, messages: Any, *, needs: frozenset[str] = frozenset()) -> Prompt:
    """Return the prompt of OpenAI-style messages: system first, then user and assistant in turn, a user last."""
    if not isinstance(messages, list) or not messages:
        raise DataError("messages: expected a list of messages")
    systems: list[str] = []
    turns: list[Turn] = []
    asked: str | None = None
    attachments: tuple[Attachment, ...] = ()
    for at, message in enumerate(messages):
        if not isinstance(message, dict):
            raise DataError(f"messages[{at}]: expected an object, got {_kind(message)}")
        role = message.get("role")
        text, images = _content(message.get("content"), at)
        if images and not (role == "user" and at == len(messages) - 1):
            raise DataError(f"messages[{at}]: images are taken in the last message only")
        if role in ("system", "developer") and asked is None and not turns:
            systems.append(text)
        elif role == "user" and asked is None:
            asked, attachments = text, images
        elif role == "assistant" and asked is not None:
            turns.append(Turn(asked, text))
            asked = None
        else:
            raise DataError(
                f"messages[{at}]: role {str(role)[:40]!r} is out of turn (a system message first, then user and "
                "assistant by turns)"
            )
    if asked is None:
        raise DataError("messages: the last message is not the user's")
    return _prompt(
        source,
        asked,
        system="\n\n".join(systems) if systems else None,
        history=tuple(turns),
        attachments=attachments,
        needs=needs,
    )


def _content(content: Any, at: int) -> tuple[str, tuple[Attachment, ...]]:
    """Return the text and the images of a message."""
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list):
        raise DataError(f"messages[{at}].content: expected text or a list of parts, got {_kind(content)}")
    texts: list[str] = []
    images: list[Attachment] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
            continue
        url = part.get("image_url") if kind == "image_url" else None
        url = url.get("url") if isinstance(url, dict) else url
        found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
        if found is None:
            raise DataError(f"messages[{at}].content: only text and images as data: URLs are taken")
        import base64
        import binascii

        try:
            data = base64.b64decode(found[2], validate=True)
        except (binascii.Error, ValueError):
            raise DataError(f"messages[{at}].content: an image is not base64") from None
        images.append(Attachment(f"image-{len(images) + 1}", found[1], data))
    return "\n\n".join(texts), tuple(images)


def _table(source: Source, file: IO[bytes]) -> Iterator[Row | BadRow]:
    """Yield the rows of a CSV or TSV file."""
    reader = _cells(source, file)
    columns = _header(source, reader)
    make = _prompt_of_columns(source, columns)
    at_id = columns.index("id") if "id" in columns else None
    n = -1
    while True:
        n += 1
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            where = "" if first == reader.line_num else f" (the row begins on line {first})"
            yield BadRow(n, reader.line_num, f"not {source.format.upper()}: {error}{where}")
            continue
        line = reader.line_num
        if not cells:
            n -= 1
            continue
        if len(cells) != len(columns):
            yield BadRow(n, line, f"{len(cells)} cells, and the header has {len(columns)}")
            continue
        try:
            for cell in cells:
                if not cell.isascii():
                    _decode(cell.encode("utf-8", "surrogateescape"))
            name = _id(cells[at_id] or None, line) if at_id is not None else str(n + 1)
            yield Row(n, line, name, _prompt(source, make(cells)), cells=tuple(cells))
        except (UsageError, DataError) as error:
            yield BadRow(n, line, error.message)


def _cells(source: Source, file: IO[bytes]) -> Any:
    csv.field_size_limit(MAX_ROW_BYTES)
    lines = (raw.decode("utf-8", "surrogateescape") for raw in iter(lambda: file.readline(MAX_ROW_BYTES), b""))
    return csv.reader(lines, delimiter="\t" if source.format == "tsv" else ",", strict=True)


def _header(source: Source, reader: Any) -> tuple[str, ...]:
    try:
        columns = tuple(encodable(column.strip()).removeprefix("\ufeff") for column in next(reader, ()))
    except csv.Error as error:
        raise DataError(f"{source.name}: its first line is not {source.format.upper()}: {error}") from None
    if not any(columns):
        raise DataError(f"{source.name} has no header", hint="The first line of a table names its columns.")
    if len(set(columns)) != len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise DataError(f"{source.name}: two columns are called {twice!r}")
    return columns


def _prompt_of_columns(source: Source, columns: tuple[str, ...]) -> Any:
    """Return what makes the prompt of a row's cells."""
    if source.template is not None:
        template = source.template
        for name in _variables(template):
            _column(source, columns, name, "the template's {{" + name + "}}")
        return lambda cells: _fill(template, dict(zip(columns, cells, strict=True)))
    if source.column is not None:
        at = _column(source, columns, source.column, "--column")
    elif "prompt" in columns:
        at = columns.index("prompt")
    elif len(columns) == 1:
        at = 0
    else:
        raise UsageError(
            f"{source.name}: which column holds the prompt?",
            hint=f"Name it with --column, or give a template with -t. Columns: {', '.join(columns)}.",
        )
    return lambda cells: cells[at]


def _column(source: Source, columns: tuple[str, ...], name: str, what: str) -> int:
    if name in columns:
        return columns.index(name)
    from scrimp.profiles.schema import did_you_mean

    raise UsageError(
        f"{source.name} has no column {name!r} ({what}){did_you_mean(name, columns)}",
        hint=f"Its columns: {', '.join(columns)}.",
    )


def _variables(template: str) -> list[str]:
    return _VARIABLE.findall(template)


def _fill(template: str, values: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        item = values.get(match[1])
        if match[1] not in values:
            raise DataError(f"no {match[1]!r} in it, which the template needs")
        if isinstance(item, str):
            return item
        return json.dumps(item, ensure_ascii=False)

    return _VARIABLE.sub(value, template)


def _prompt(
    source: Source,
    text: str,
    *,
    system: str | None = None,
    history: Iterable[Turn] = (),
    attachments: tuple[Attachment, ...] = (),
    needs: frozenset[str] = frozenset(),
) -> Prompt:
    clean = clean_text(text, what="the prompt")
    if not clean.strip() and not attachments:
        raise UsageError("the prompt is empty")
    system = source.system if system is None else system
    return Prompt(
        clean,
        system=None if system is None else clean_text(system, what="the system prompt"),
        history=tuple(
            Turn(clean_text(turn.prompt, what="a message"), clean_text(turn.answer, what="a message"))
            for turn in history
        ),
        attachments=attachments,
        schema=source.schema,
        needs=needs | source.needs,
    )


def _id(value: Any, line: int) -> str | int:
    """Return a row's id: whatever it holds, it is only ever written as JSON or CSV, never used as a path."""
    if value is None:
        return str(line)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"id: expected text or a whole number, got {_kind(value)}")
    return encodable(value) if isinstance(value, str) else value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")

"""One row of an input file, and what rows of every format are made with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.guard.verdict import UNGUARDED
from scrimp.routing.prompts.call_fields import kind_of
from scrimp.routing.prompts.prompt import Attachment, Prompt, Turn
from scrimp.routing.text.clean import MAX_PROMPT_BYTES, clean_text
from scrimp.routing.text.first_bytes import guess
from scrimp.routing.text.sanitize import encodable

from .places import filled, references

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from scrimp.routing.guard.private import Vault
    from scrimp.routing.guard.verdict import Guarded

    from .source import Lines, Source

__all__ = [
    "MAX_ROW_BYTES",
    "BadRow",
    "Row",
    "content_key",
    "decode",
    "files_of",
    "id_of",
    "lines_in",
    "prompt_of",
    "sealed",
]

MAX_ROW_BYTES: Final = MAX_PROMPT_BYTES
"""A longer line is skipped as it streams past, and reported."""

_NOTHING: Final[Mapping[str, Any]] = {}

_EXACT: Final = 2.0**53
"""Below it, a number with a point that is whole is that whole number."""


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
    files
        Names of the files that it is asked about, as it spells them.
    digests
        SHA-256 of the texts of all files that go with it, in order, once they were read (`Shelf`).
    unread
        Why they cannot be read; None where they can.
    guarded, vault
        What the profile's guards say of it, and what placeholders in it stand for.
    given
        Its `content_key` before anything in it was replaced; empty where nothing was looked for.
    sealed
        What tells that its placeholders stand for the same values again; None where it has none.
    priority
        Rows of a higher one go first; 0 where it says nothing.
    deadline_s
        Seconds from the run's beginning within which its answer is wanted; None: whenever it comes.
    refs
        Ids of the rows whose answers stand in its prompt, once they are there.
    opening
        What is equal for rows that begin with the same long answer; None where it begins otherwise.
    arm, schema, checks
        What it brings of its own: the arm, as `-m` names one, the form of its answer, and what that has to pass, as
        `--check` spells it.
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
    files: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    unread: str | None = None
    guarded: Guarded = UNGUARDED
    vault: Vault | None = None
    given: bytes = b""
    sealed: str | None = None
    priority: int = 0
    deadline_s: float | None = None
    refs: tuple[str, ...] = ()
    opening: bytes | None = None
    arm: str | None = None
    schema: Mapping[str, Any] | None = None
    checks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Take note of whose answers stand in its prompt."""
        if not self.refs and (refs := references(self.prompt)):
            object.__setattr__(self, "refs", refs)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be asked, and why; `hint` says how such rows are mended, where that is known."""

    n: int
    line: int
    reason: str
    hint: str | None = None


def content_key(row: Row) -> bytes:
    """Return 16 bytes that are equal for rows that ask the same, of the same files, in the same way (ids aside)."""
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
        *([row.digests] if row.digests else []),
        *(["brief"] if prompt.brief else []),
        *([["arm", row.arm]] if row.arm is not None else []),
        *([["checks", *row.checks]] if row.checks else []),
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest()[:16]


def sealed(row: Row) -> str | None:
    """Return 32 hexadecimal digits that are the same where a row has the same placeholders again; None: it has none."""
    if row.vault is None or not row.vault.values:
        return None
    return hashlib.sha256(content_key(row) + " ".join(row.vault.values).encode()).hexdigest()[:32]


def lines_in(file: Lines) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line with its number; None stands for one that is too long."""
    line = 0
    while raw := file.readline(MAX_ROW_BYTES + 1):
        line += 1
        if len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(1 << 20)
            yield line, None
            continue
        yield line, raw


def decode(raw: bytes | None) -> str:
    """Return the text of a line; None stands for one that is too long."""
    if raw is None:
        raise UsageError(f"it is over {MAX_ROW_BYTES // 1024 // 1024} MB")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}",
            hint=f"If the file is in another encoding, convert it: iconv -f {guess(raw)} -t utf-8 FILE > NEW",
        ) from None


def prompt_of(
    source: Source,
    text: str,
    *,
    system: str | None = None,
    history: Iterable[Turn] = (),
    attachments: tuple[Attachment, ...] = (),
    needs: frozenset[str] = frozenset(),
    own: Mapping[str, Any] = _NOTHING,
    schema: Mapping[str, Any] | None = None,
    made: Callable[[str], str] | None = None,
) -> Prompt:
    """Return a row's prompt, with what the source adds to it and its places filled (`places`).

    Parameters
    ----------
    own
        The row's own values, by their names.
    schema
        The row's own, before that of all rows.
    made
        Fills the text, where it is a template.
    """

    def put(text: str, what: str) -> str:
        return filled(clean_text(text, what=what), own, source.given, source.used)

    clean = put(text, "the prompt") if made is None else made(clean_text(text, what="the template"))
    if not clean.strip() and not attachments:
        raise UsageError("the prompt is empty")
    system = source.system if system is None else system
    return Prompt(
        clean,
        system=None if system is None else put(system, "the system prompt"),
        history=tuple(
            Turn(put(turn.prompt, "a message"), None if turn.answer is None else put(turn.answer, "a message"))
            for turn in history
        ),
        attachments=attachments,
        schema=source.schema if schema is None else schema,
        needs=needs | source.needs,
        brief=source.brief,
    )


def files_of(value: Any, key: str) -> tuple[str, ...]:
    """Return the names of a row's files.

    Raises
    ------
    DataError
        If they are neither text nor a list of texts.
    """
    names = [] if value is None else value if isinstance(value, list) else [value]
    odd = next((each for each in names if not isinstance(each, str)), None)
    if odd is not None:
        raise DataError(f"{key}: expected the name of a file, or a list of names, got {kind_of(odd)}")
    if any("\0" in each for each in names):
        raise DataError(f"{key}: a file's name has no zero bytes in it")
    return tuple(each for each in names if each.strip())


def id_of(value: Any, line: int) -> str | int:
    """Return a row's id: whatever it holds, it is only ever written as JSON or CSV, never used as a path."""
    if value is None:
        return str(line)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)  # as programs write it that know no whole numbers
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"id: expected text or a whole number, got {kind_of(value)}")
    return encodable(value) if isinstance(value, str) else value

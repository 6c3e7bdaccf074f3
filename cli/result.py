"""What a command returns, and the one renderer that prints it: drawn on a terminal, plain to a pipe, or as JSON.

Nothing else in this folder writes to stdout or stderr (a test holds it): so nothing reaches a terminal that could
control it, and a pipe gets text as it is. Each stream is asked by itself whether it is a terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ExitCode, ScrimpError

from .layout import GAP, Column, lay_out
from .streams import drop_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console
    from rich.text import Text

    from .layout import Layout

__all__ = [
    "Beside",
    "Block",
    "Column",
    "Note",
    "Result",
    "Table",
    "as_line",
    "ask_line",
    "confirm",
    "deliver",
    "emit",
    "emit_stderr",
    "plain",
    "say",
    "show_progress",
    "write_err",
    "write_out",
]


_COLUMN: Final = 40
"""The least width of a column of prose on a terminal, in cells."""

_UNIT: Final = re.compile(r"(?<=\d) (?=(?:s|ms|min|h|MB|GB|GB/s|GFLOP/s)\b)")
"""Between a number and its unit no line ends."""

_NO_BREAK: Final = "\ufdd0"
"""Stands there while lines are broken: no text holds it."""

_LINE: Final = 80
"""What is left out of a table is said in one line of this width."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence of scrimp's own: wrapped between words on a terminal, one line on a pipe."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table: tab-separated on a pipe, drawn on a terminal; under its title and a header on both."""

    columns: tuple[Column, ...]
    rows: Sequence[Sequence[str]]
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """Two texts with their titles: side by side on a terminal that is wide enough, else one under the other."""

    titles: tuple[str, str]
    texts: tuple[str, str]


Block = str | Note | Table | Beside
"""A part of what people read."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command has to say.

    Attributes
    ----------
    data
        What `--json` prints; a dictionary carries `schema_version`.
    blocks
        What people read, in order: lines of text, notes and tables.
    messages
        Lines for stderr.
    """

    data: Any = None
    blocks: tuple[Block, ...] = ()
    messages: tuple[str, ...] = field(default=())
    exit_code: ExitCode = ExitCode.OK


def say(line: str, *, mark: str = "scrimp: ") -> None:
    """Write a line to stderr, harmless to a terminal."""
    from scrimp.routing.text.sanitize import sanitize

    text = f"{mark}{sanitize(line)}"
    _put_err((_wrapped(text) if sys.stderr.isatty() else text) + "\n")


def _wrapped(text: str) -> str:
    """Return a text of scrimp's own wrapped between words, as wide as the terminal of stderr is."""
    try:
        width = int(os.environ.get("COLUMNS") or os.get_terminal_size(sys.stderr.fileno()).columns)
    except (OSError, ValueError):
        return text
    if width < _COLUMN or len(text) <= width:
        return text
    from textwrap import TextWrapper

    indent = " " * (len(text) - len(text.lstrip()) or GAP)
    wrapper = TextWrapper(width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(line for each in text.split("\n") for line in wrapper.wrap(each) or [""])


def write_err(text: str) -> None:
    """Write text to stderr: as it is to a pipe, harmless to a terminal."""
    from scrimp.routing.text.sanitize import sanitize

    _put_err(sanitize(text) if sys.stderr.isatty() else text)


def confirm(question: str) -> bool:
    """Ask on the terminal; anything but y or yes is no."""
    write_err(f"{question} [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def ask_line(question: str) -> str | None:
    """Ask on the terminal; return the line that was typed, None where there will be none any more."""
    write_err(question)
    line = sys.stdin.readline()
    return line.strip() if line else None


def show_progress(text: str, *, ended: bool, keep: bool = True) -> None:
    """Write how far one has come over what stood there before, on a terminal; elsewhere nothing.

    Parameters
    ----------
    keep
        Whether the line stays once it has `ended`.
    """
    from scrimp.routing.text.sanitize import sanitize

    if sys.stderr.isatty():
        _put_err(f"\r{sanitize(text)}" + ("" if not ended else "\n" if keep else "\r\x1b[K"))


def _put_err(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def write_out(text: str, *, as_json: bool = False) -> None:
    """Write text to stdout as UTF-8, whatever the locale; what cannot be encoded becomes U+FFFD.

    A terminal gets nothing that could control it.

    Parameters
    ----------
    as_json
        The text is JSON: on a terminal it then stays JSON, of the same value.

    Raises
    ------
    BrokenPipeError
        If its reader has gone.
    ScrimpError
        If it cannot be written: it is closed, or its disk is full.
    """
    data = _for_stdout(text, as_json).encode("utf-8", "replace")
    buffer = getattr(sys.stdout, "buffer", None)
    try:
        sys.stdout.flush()
        if buffer is None:
            sys.stdout.write(data.decode("utf-8"))
        else:
            buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_stdout()
        raise
    except OSError as error:
        drop_stdout()
        raise ScrimpError(f"standard output cannot be written: {error.strerror}") from None


def _for_stdout(text: str, as_json: bool) -> str:
    if not sys.stdout.isatty():
        return text
    from scrimp.routing.text.sanitize import escape_json, sanitize

    return escape_json(text) if as_json else sanitize(text)


def write_through(text: str, *, as_json: bool = False) -> None:
    """Write text to stdout as `write_out` does, from a thread that may have to wait for the reader.

    It goes past Python's own buffer, whose lock would keep the process from ending meanwhile.

    Raises
    ------
    BrokenPipeError, ScrimpError
        As `write_out`.
    """
    data = memoryview(_for_stdout(text, as_json).encode("utf-8", "replace"))
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ScrimpError(f"standard output cannot be written: {error.strerror}") from None


def deliver(text: str, *, otherwise: str, as_json: bool = False) -> ExitCode:
    """Write to stdout what was paid for; where that cannot be done, say so instead of failing what is done already.

    Parameters
    ----------
    otherwise
        Where to get it then, as a clause.
    as_json
        As for `write_out`.

    Returns
    -------
    ExitCode
        The exit code of a run that is otherwise in order: 141 where the reader of stdout has gone, else 0.
    """
    try:
        write_out(text, as_json=as_json)
    except BrokenPipeError:
        say(f"the reader of standard output has gone: {otherwise}")
        return ExitCode.CLOSED_PIPE
    except ScrimpError as error:
        say(f"{error.message}: {otherwise}")
    return ExitCode.OK


def emit(result: Result, *, as_json: bool = False, otherwise: str | None = None) -> int:
    """Print a result and return the exit code.

    Parameters
    ----------
    otherwise
        For a result that was paid for: where to get it if it cannot be printed (`deliver`).
    """
    for message in result.messages:
        say(message)
    if not as_json and result.blocks and (sys.stdout.isatty() or (otherwise is None and _colour_is_forced())):
        _draw(result.blocks)
        return int(result.exit_code)
    text = as_line(result.data) if as_json else "".join(plain(block) for block in result.blocks)
    if text and otherwise is not None:
        code = deliver(text, otherwise=otherwise, as_json=as_json)
        return int(result.exit_code or code)
    if text:
        write_out(text, as_json=as_json)
    return int(result.exit_code)


def as_line(data: Any) -> str:
    """Return data as `--json` prints it."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"


def plain(block: Block) -> str:
    """Return a block for a pipe: lines as they are, a table as tab-separated values under its title and a header."""
    if isinstance(block, (str, Note)):
        return (block if isinstance(block, str) else block.text) + "\n"
    if isinstance(block, Beside):
        return "".join(f"--- {title}\n{text}\n" for title, text in zip(block.titles, block.texts, strict=True))
    lines = [] if block.title is None else [block.title]
    lines.append("\t".join(column.title for column in block.columns))
    lines += ["\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row) for row in block.rows]
    return "\n".join(lines) + "\n"


def emit_stderr(blocks: Sequence[Block]) -> None:
    """Print blocks to stderr, as `emit` prints them to stdout."""
    if sys.stderr.isatty() or _colour_is_forced():
        _draw(blocks, stderr=True)
    else:
        _put_err("".join(plain(block) for block in blocks))


def _colour_is_forced() -> bool:
    """Return whether what is drawn on a terminal is to be drawn on a pipe too: FORCE_COLOR, unless NO_COLOR is set."""
    return bool(os.environ.get("FORCE_COLOR")) and not os.environ.get("NO_COLOR")


def _draw(blocks: Sequence[Block], *, stderr: bool = False) -> None:
    """Draw blocks on a terminal. All text goes in as `Text`: a bare string would be read as Rich's markup."""
    from rich.console import Console
    from rich.text import Text

    from scrimp.routing.text.sanitize import sanitize

    console = Console(highlight=False, soft_wrap=True, stderr=stderr)
    for block in blocks:
        if isinstance(block, str) and "\n" in block:
            console.print(Text(sanitize(block)))  # somebody's text, as it is
        elif isinstance(block, (str, Note)):
            text = _UNIT.sub(_NO_BREAK, sanitize(block if isinstance(block, str) else block.text))
            for number, line in enumerate(Text(text).wrap(console, max(1, console.width - GAP)) or [Text()]):
                line.plain = line.plain.rstrip().replace(_NO_BREAK, " ")
                console.print(Text(" " * GAP if number else "") + line)
        else:
            for line in _drawn(block, console) if isinstance(block, Table) else _drawn_beside(block, console):
                console.print(line)


def _drawn(table: Table, console: Console) -> Iterator[Text]:
    """Yield the lines of a table, as wide as the terminal is."""
    from rich.cells import cell_len
    from rich.text import Text

    from scrimp.routing.text.sanitize import sanitize

    if table.title is not None:
        yield Text(sanitize(table.title), style="italic")
    titles = [sanitize(column.title) for column in table.columns]
    rows = [[sanitize(cell).replace("\t", " ") for cell in row] for row in table.rows]
    layout = lay_out(table.columns, rows, console.width, cells=cell_len)
    for number, columns in enumerate(layout.tables):
        for style, row in (("bold", titles), *(("", row) for row in rows)):
            cells = [
                ([*Text(row[j]).wrap(console, max(1, width))], width, table.columns[j].align) for j, width in columns
            ]
            yield from _beside(cells, style)
            for j in () if number or style else layout.below:
                for line in () if row[j] in ("", "-") else Text(row[j]).wrap(console, max(1, console.width - 2 * GAP)):
                    line.rstrip()
                    yield Text(" " * 2 * GAP) + line
    for said in _said_below(table, layout):
        for line in Text(sanitize(said), style="dim").wrap(console, max(1, console.width)):
            line.rstrip()
            yield line


def _said_below(table: Table, layout: Layout) -> Iterator[str]:
    """Yield what stands below a table of which columns had no room."""
    alike = [f"{table.columns[j].title} {table.rows[0][j]}" for j in layout.once if table.rows[0][j] not in ("", "-")]
    if alike:
        yield f"in every row: {', '.join(alike)}"
    if names := [title for j in layout.left_out if (title := table.columns[j].title.strip())]:
        shown = names
        while len(shown) > 1 and len(_left_out(shown, len(names))) > _LINE:
            shown = shown[:-1]
        yield _left_out(shown, len(names))


def _left_out(shown: Sequence[str], n: int) -> str:
    more = f" and {n - len(shown)} more" if n > len(shown) else ""
    return f"left out for width: {', '.join(shown)}{more} (--json has {'them' if n > 1 else 'it'})"


def _drawn_beside(block: Beside, console: Console) -> Iterator[Text]:
    """Yield the lines of two texts, as wide as the terminal is."""
    from rich.text import Text

    from scrimp.routing.text.sanitize import sanitize

    beside = console.width >= 2 * _COLUMN + GAP
    width = (console.width - GAP) // 2 if beside else max(1, console.width)
    columns = [
        [Text(f"--- {sanitize(title)}", style="bold"), *Text(sanitize(text).expandtabs(4)).wrap(console, width)]
        for title, text in zip(block.titles, block.texts, strict=True)
    ]
    if beside:
        yield from _beside([(lines, width, "left") for lines in columns], "")
        return
    for lines in columns:
        yield from lines


def _beside(cells: Sequence[tuple[Sequence[Text], int, str]], style: str) -> Iterator[Text]:
    """Yield the lines of a row, from each cell's own lines, its width and its side."""
    from rich.text import Text

    for number in range(max(1, *(len(lines) for lines, _, _ in cells))):
        drawn = Text(style=style)
        for lines, width, align in cells:
            text = lines[number] if number < len(lines) else Text()
            text.rstrip()
            blanks = Text(" " * (width - text.cell_len))
            drawn += blanks + text if align == "right" else text + blanks
            drawn.append(" " * GAP)
        drawn.rstrip()
        yield drawn

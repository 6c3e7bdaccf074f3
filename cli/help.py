"""How a command's help page stands on a terminal: many options under headings, examples whole, nothing too wide."""

from __future__ import annotations

import inspect
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["HEADINGS", "MANY", "lay_out_help", "write_epilog", "written_examples"]

MANY: Final = 20
"""From so many options on, they stand under headings."""

HEADINGS: Final[dict[str, tuple[str, ...]]] = {
    "Prompt and files": (
        "--system", "--file", "--lines", "--jsonl", "--read", "--read-tokens", "--attachment", "--template", "--var",
        "--save", "--format", "--column", "--file-column", "--hint", "--use-hint", "--rephrase",
    ),
    "Conversation": ("--continue", "--cid", "--memory"),
    "Choosing": (
        "--arm", "--profile", "--prefer", "--wtp", "--min-quality", "--need", "--local-only", "--max-seconds", "--fast",
        "--front", "--plot", "--exact-tokens", "--plan", "--cascade", "--repair", "--seed",
    ),
    "Model settings": ("--option", "--temperature", "--max-tokens"),
    "Checking": ("--schema", "--schema-multi", "--check"),
    "Money": ("--max-cost", "--brief", "--cap-override", "--yes", "--cache", "--lane", "--deadline"),
    "Privacy": ("--private", "--offline", "--no-log"),
    "The run": (
        "--jobs", "--workers", "--on", "--address", "--detach", "--max-errors", "--skip-bad", "--resume",
        "--retry-unknown", "--retry-errors", "--retry-cut",
    ),
    "Output": (
        "--output", "--overwrite", "--unordered", "--explain", "--dry-run", "--json", "--extract", "--raw",
        "--no-stream", "--tag", "--quiet", "--help",
    ),
}  # fmt: skip
"""Options by their longest names, under the headings of a command that has many of them."""


def lay_out_help(built: Any, words: str) -> None:
    """Have a built command, and those below it, write their help pages so.

    Parameters
    ----------
    words
        What is typed to run it.
    """
    plain = built.format_commands if hasattr(built, "commands") else None
    built.format_options = partial(_write_options, built, plain)
    built.format_epilog = partial(_write_epilog_of, built, None, words)
    for name, each in getattr(built, "commands", {}).items():
        lay_out_help(each, f"{words} {name}")
        each.format_epilog = partial(_write_epilog_of, each, built, f"{words} {name}")


def _write_epilog_of(built: Any, group: Any, words: str, ctx: Any, formatter: Any) -> None:
    del ctx
    epilog = built.epilog or (None if group is None else _examples_of(group, words))
    if epilog:
        write_epilog(epilog, formatter)


def _write_options(built: Any, then: Any, ctx: Any, formatter: Any) -> None:
    parameters = sorted(built.get_params(ctx), key=lambda each: "--help" in each.opts)
    records = [(each, record) for each in parameters if (record := each.get_help_record(ctx)) is not None]
    options = [(each, record) for each, record in records if each.param_type_name == "option"]
    # Of what an argument may be, the line of usage has all.
    arguments = [
        (name.partition(" | ")[0], said) for each, (name, said) in records if (each, (name, said)) not in options
    ]
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": arguments}
    if len(options) < MANY:
        sections["Options"] = [record for _, record in options]
    else:
        for heading in (*HEADINGS, "More"):
            sections[heading] = [record for each, record in options if _heading(each) == heading]
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)
    if then is not None:
        then(ctx, formatter)


def _heading(parameter: Any) -> str:
    return next((heading for heading, names in HEADINGS.items() if not {*names}.isdisjoint(parameter.opts)), "More")


def write_epilog(epilog: str, formatter: Any) -> None:
    """Write what stands below the options: paragraphs of text, and those of examples, which backspaces begin."""
    for paragraph in re.split(r"\n\n|\n(?=\x08\n)", inspect.cleandoc(epilog)):
        formatter.write_paragraph()
        with formatter.indentation():
            if not paragraph.startswith("\b"):
                formatter.write_text(paragraph)
                continue
            indent = " " * formatter.current_indent
            for line in written_examples(paragraph[1:].strip("\n"), formatter.width - len(indent)):
                formatter.write(f"{indent}{line}\n")


def written_examples(paragraph: str, width: int) -> list[str]:
    """Return a paragraph of examples, each a command and perhaps a remark after two blanks, in lines of a width.

    A remark stands beside its command, all in one column, where both have room; else on a line of its own. A command
    that is too long goes on after a backslash.
    """
    lines: list[str] = []
    for line in re.sub(r" \\\n +", " ", paragraph).split("\n"):
        if lines and not line.startswith(" ") and not lines[-1].startswith(" ") and not lines[-1].endswith(":"):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    parted = [re.fullmatch(r"(  .*?\S)(?: {2,}(\S.*))?", line) for line in lines]
    pairs = [(found[1], found[2]) for found in parted if found and found[2]]
    column = max((len(each) for each, _ in pairs), key=lambda at: (_n_beside(pairs, at, width), -at), default=0)
    out: list[str] = []
    for line, found in zip(lines, parted, strict=True):
        if found is None:
            out += _wrapped(line, width)
        elif found[2] and len(found[1]) <= column and column + 2 + len(found[2]) <= width:
            out.append(f"{found[1]:<{column}}  {found[2]}")
        else:
            out += _broken(found[1], width)
            out += [f"      {each}" for each in _wrapped(found[2] or "", width - 6)]
    return out


def _n_beside(pairs: Sequence[tuple[str, str]], column: int, width: int) -> int:
    return sum(len(each) <= column and column + 2 + len(remark) <= width for each, remark in pairs)


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _broken(line: str, width: int) -> list[str]:
    """Return a command in lines that a shell reads as one: broken after backslashes, outside of quotes."""
    out = []
    while len(line) > width:
        able = [at for at in _blanks(line) if at <= width - 2 and line[:at].strip()]
        apart = [at for at in able if line[at + 1] == "-" or not re.search(r" (-\S*|[<>])$", line[:at])]
        at = max(apart or able, default=0)  # not between an option and its value
        if not at:
            break
        out.append(f"{line[:at]} \\")
        line = f"      {line[at + 1 :]}"
    return [*out, line]


def _blanks(line: str) -> Iterator[int]:
    """Yield where a command has blanks between its words."""
    quote = ""
    for at, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"(":
            quote = ")" if character == "(" else character
        elif character == " ":
            yield at


def _examples_of(group: Any, words: str) -> str | None:
    """Return what of a group's examples is of one of its commands."""
    lines = (group.epilog or "").split("\n\n")[0].split("\n")
    own = [line for line in lines if re.search(rf"{re.escape(words)}(?![\w-])", line)]
    if not own and getattr(group, "bare", None) == words.rpartition(" ")[2]:
        above = re.escape(words.rpartition(" ")[0])
        others = "|".join(map(re.escape, group.commands))
        own = [line for line in lines if re.search(rf"{above}( |$)(?!({others})( |$))", line)]
    return "\n".join(("\b\nExamples:", *own)) if own else None

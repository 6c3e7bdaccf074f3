"""The code in a text."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["code_in", "extracted", "first_block", "has_code"]

_SCANNED: Final = 16_000
"""Of a longer text head and tail are looked at, half of this each."""

_SURE: Final = re.compile(
    r"""^[ \t]*(?:
        ```|~~~
        |(?:async[ ])?def[ ]\w+\(|class[ ]\w+(?:\([^)\n]{0,200}\))?:[ \t]*$
        |import[ ][\w.]+(?:[ ]as[ ]\w+)?;?[ \t]*$|from[ ][\w.]+[ ]import[ ]
        |\#include[ ]*[<"]|\#!/|(?:export[ ])?(?:async[ ])?function\b[ *]*\w*\(|func[ ][\w(]|fn[ ]\w+[(<]
        |(?:const|let|var|val)[ ]\w+[ ]*(?::[^=\n]{1,60})?=
        |(?:public|private|protected|static)[ ][\w<>\[\] ]{1,80}[({]
        |(?:[S]ELECT|select)\b[^\n]{1,400}\b(?:FROM|from)\b[ ]+\w+
            (?:[ ]*;|[ ]+(?:WHERE|where|JOIN|join|GROUP|ORDER)\b|[ \t]*$)
        |(?:[I]NSERT[ ]INTO|[C]REATE[ ]TABLE|[U]PDATE[ ]\w+[ ]SET|[D]ELETE[ ]FROM)\b
        |Traceback[ ]\(most[ ]recent[ ]call[ ]last\)|File[ ]"[^"\n]{1,200}",[ ]line[ ]\d
        |</?(?:html|head|body|div|span|script|table|tr|td|p|a|ul|li|form|input|button)\b[^>\n]{0,200}>
    )
    |\b(?:if|for|while|switch)[ ]*\([^\n]{0,200}\)[ ]*\{""",
    re.MULTILINE | re.VERBOSE,
)
_MARKS: Final = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"[{};][ \t]*$",
        r"\b\w+\.\w+\(",
        r"\w\((?:\w|\"|')?[^()\n ]{0,40}\)(?=[^a-z]|$)",
        r"[=!]==?(?=[^=])",
        r"\bfor \w+ in\b|\bprintf?\(",
        r"->|=>|::|&&|\|\|",
        r"^[ \t]*[\w.\[\]]+[ ]*[-+*/|]?=[ ]*\S",
        r"^[ \t]*(?:return|if|elif|else|for|while|try|except|with)\b[^\n]{0,200}:[ \t]*$",
        r"`[^`\n]{0,80}[(){}=_.<>/][^`\n]{0,80}`",
        r"\b\w+_\w+\b|\b[a-z]+[A-Z]\w+\b",
    )
)
"""Each alone occurs in prose."""


def has_code(text: str) -> bool:
    """Return whether there is program text in a text: a fence, a line that only code has, or three marks of it.

    Examples
    --------
    >>> [has_code(each) for each in ("x = f(3); y = g.h(x)", "Which page(s)?", "if (a == b) { return; }")]
    [True, False, True]
    """
    if len(text) > _SCANNED:
        text = text[: _SCANNED // 2] + "\n" + text[-_SCANNED // 2 :]
    return _SURE.search(text) is not None or sum(mark.search(text) is not None for mark in _MARKS) >= 3


def extracted(answer: str) -> str:
    """Return what the first fenced block of an answer holds; all of it where there is none: what `--extract` prints."""
    block = first_block(answer)
    return answer if block is None else block


_FENCE: Final = re.compile(r"( {0,8})(`{3,}|~{3,})([^`\n]*)\n?")


def first_block(answer: str) -> str | None:
    r"""Return what the first fenced block of an answer holds, without the fence; None where it has none.

    A fence in a list is indented, and so are the lines in it: by so much they are moved back. One that is not closed
    goes to the end.

    Examples
    --------
    >>> first_block("So:\n```python\nprint(1)\n```\nThat is all."), first_block("Just words.")
    ('print(1)\n', None)
    """
    opened: re.Match[str] | None = None
    body: list[str] = []
    for line in answer.splitlines(keepends=True):
        mark = _FENCE.fullmatch(line)
        if opened is None:
            opened = mark
        elif mark is not None and not mark[3].strip() and mark[2].startswith(opened[2]):
            break
        else:
            indent = len(opened[1])
            body.append(line[indent:] if line[:indent].isspace() else line)
    return None if opened is None else "".join(body)


def code_in(answer: str) -> str:
    """Return the code of an answer: its fenced blocks (those of one language, if there are several), or all of it."""
    blocks: list[tuple[str, str]] = []
    language: str | None = None
    body: list[str] = []
    for line in answer.splitlines(keepends=True):  # a pattern would search on from each fence that is not closed
        mark = line.strip() if line.startswith("```") else ""
        if language is None:
            if mark:
                language, body = mark.removeprefix("```").strip().partition(" ")[0].casefold(), []
        elif mark == "```":
            blocks.append((language, "".join(body)))
            language = None
        else:
            body.append(line)
    if not blocks:
        return answer
    python = [code for name, code in blocks if name in ("python", "py", "python3")]
    return "\n".join(python or [code for _, code in blocks])

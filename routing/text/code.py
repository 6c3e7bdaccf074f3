"""The code in an answer."""

from __future__ import annotations

__all__ = ["code_in"]


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

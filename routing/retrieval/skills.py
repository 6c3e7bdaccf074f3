"""A pool's files: Markdown with front matter, each of them an arm that is told the file's text."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.reading import read_bytes
from scrimp.profiles.schema import MAX_TEXT, NAME_PATTERN, NAME_WORDS, did_you_mean

from .front_matter import BrokenError, Matter, Value, split
from .texts import Document

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ENDING", "is_skill", "read_skill"]

ENDING: Final = ".md"
"""What the names of a pool's files end in."""

_KEYS: Final = ("name", "about", "like", "tags")
_OTHER_NAMES: Final = {"description": "about"}
"""Keys of the SKILL.md files of other tools."""

_FOLDERS_NAME: Final = "skill"
"""A file of this stem is called after its folder, as other tools have it: `tax/SKILL.md` is tax."""

_NOT_SKILLS: Final = frozenset({"readme"})
_TAG: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_MAX_BYTES: Final = 4 * MAX_TEXT


def is_skill(key: str) -> bool:
    """Tell whether a Markdown file is an arm of the pool: a README is about the others."""
    return PurePosixPath(key).stem.lower() not in _NOT_SKILLS


def read_skill(folder: Path, key: str) -> Document | None:
    """Read one file of a pool; None where it is gone.

    Its `kept` is JSON: `like` (or null), its line, and `tags`.

    Raises
    ------
    ConfigError
        If it cannot be read, or says something it may not: FILE:LINE, the field, and what is wrong.
    """
    path = folder / key
    try:
        data = read_bytes(path, limit=_MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8: byte 0x{data[error.start]:02x}") from None
    try:
        return _document(key, split(text))
    except BrokenError as broken:
        field = f"{broken.field}: " if broken.field else ""
        raise ConfigError(f"{path}:{broken.line}: {field}{broken.why}") from None


def _document(key: str, matter: Matter) -> Document:
    values: dict[str, Value] = {}
    for said, value in matter.values.items():
        field = _OTHER_NAMES.get(said, said)
        if field not in _KEYS:
            near = did_you_mean(said, _KEYS)
            raise BrokenError(value.line, said, f"unknown key{near}; known: {', '.join(_KEYS)}")
        if field in values:
            raise BrokenError(value.line, said, f"it says the same as {field} in line {values[field].line}")
        values[field] = value
    for field in ("name", "about", "like"):
        if field in values and not (isinstance(values[field].said, str) and values[field].said):
            raise BrokenError(values[field].line, field, "expected text")
    name = _name(key, values.get("name"))
    if not matter.body.strip():
        raise BrokenError(matter.line, "", "there is no text below the front matter, and so nothing to tell a model")
    if "\0" in matter.body:
        raise BrokenError(matter.line + matter.body[: matter.body.index("\0")].count("\n"), "", "there is a NUL byte")
    if len(matter.body) > MAX_TEXT:
        raise BrokenError(matter.line, "", f"the text has {len(matter.body):,} characters: {MAX_TEXT:,} are the most")
    tags = values.get("tags")
    if tags is not None and not (isinstance(tags.said, tuple) and all(map(_TAG.fullmatch, tags.said))):
        raise BrokenError(tags.line, "tags", "expected a list of lower-case words, such as [json, local]")
    like = values.get("like")
    kept: dict[str, Any] = {
        "like": None if like is None else like.said,
        "line": 1 if like is None else like.line,
        "tags": [] if tags is None else list(tags.said),
    }
    about = values.get("about")
    return Document(key, name, "" if about is None else str(about.said), matter.body, json.dumps(kept))


def _name(key: str, stated: Value | None) -> str:
    if stated is not None:
        if not NAME_PATTERN.fullmatch(str(stated.said)):
            raise BrokenError(stated.line, "name", f"expected {NAME_WORDS}, got {str(stated.said)[:80]!r}")
        return str(stated.said)
    path = PurePosixPath(key)
    stem = path.parent.name if path.stem.lower() == _FOLDERS_NAME and path.parent.name else path.stem
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:64]
    if not NAME_PATTERN.fullmatch(name):
        raise BrokenError(1, "name", "no name of an arm can be made of the file's: give one in the front matter")
    return name

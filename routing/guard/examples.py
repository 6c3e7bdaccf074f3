"""Examples of what a guard looks for: files of the user's, and the lists that come with scrimp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from scrimp.profiles.errors import DataError
from scrimp.profiles.reading import lines_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HARMLESS", "Examples", "forms", "read_examples", "requests"]

HARMLESS: Final = "harmless"
"""The heading of the shipped forms that only look unsafe."""

_FOLDER: Final = Path(__file__).parents[1] / "weights" / "guard"
_LOOKS: Final = 'A row looks so: {"prompt": "...", "domain": "..."}, with null for a domain where it is out of scope.'


class _Row(msgspec.Struct, frozen=True):
    """One line of a file; keys not named here are let pass."""

    prompt: Annotated[str, msgspec.Meta(min_length=1)]
    domain: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None


@dataclass(frozen=True, slots=True)
class Examples:
    """n prompts with what each is about.

    Attributes
    ----------
    domains
        One a prompt; None says that it is none of what is meant.
    """

    prompts: tuple[str, ...] = ()
    domains: tuple[str | None, ...] = ()

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.prompts)

    def and_(self, other: Examples) -> Examples:
        """Return both."""
        return Examples(self.prompts + other.prompts, self.domains + other.domains)

    def once(self) -> Examples:
        """Return them with every prompt once, for what it is given as first."""
        found: dict[str, str | None] = {}
        for prompt, domain in zip(self.prompts, self.domains, strict=True):
            found.setdefault(" ".join(prompt.split()), domain)
        return Examples(tuple(found), tuple(found.values()))


def read_examples(path: Path) -> Examples:
    """Read a file of examples: JSON Lines of {"prompt", "domain"}.

    Raises
    ------
    DataError
        Naming file, line and field of what is malformed; or that the file cannot be read, or has no row.
    """
    decoder = msgspec.json.Decoder(_Row)
    prompts: list[str] = []
    domains: list[str | None] = []
    try:
        with path.open("rb") as file:
            for number, line in lines_of(file, str(path)):
                if not line.strip():
                    continue
                try:
                    row = decoder.decode(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise DataError(f"{path}:{number}: {error}", hint=_LOOKS) from None
                for field in ("prompt", "domain"):
                    if (stated := getattr(row, field)) is not None and not stated.strip():
                        raise DataError(f"{path}:{number}: {field}: it is empty", hint=_LOOKS)
                prompts.append(row.prompt)
                domains.append(None if row.domain is None else row.domain.strip())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of examples", hint="Its name counts from where it is stated.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not prompts:
        raise DataError(f"{path}: there are no examples in it", hint=_LOOKS)
    return Examples(tuple(prompts), tuple(domains))


def requests() -> Examples:
    """Return the everyday requests of many kinds that come with scrimp: none of them is of any scope.

    Raises
    ------
    DataError
        If the list is missing or damaged.
    """
    lines = [line for line in _shipped("requests.txt") if not line.startswith("#")]
    return Examples(tuple(lines), (None,) * len(lines))


def forms() -> Examples:
    """Return the unsafe forms of prompts that come with scrimp, by kind, and what looks like them: None.

    Raises
    ------
    DataError
        If the list is missing or damaged.
    """
    prompts: list[str] = []
    domains: list[str | None] = []
    kind = HARMLESS
    for line in _shipped("unsafe.txt"):
        if line.startswith("= "):
            kind = line.removeprefix("= ")
        elif not line.startswith("#"):
            prompts.append(line)
            domains.append(None if kind == HARMLESS else kind)
    return Examples(tuple(prompts), tuple(domains))


def _shipped(name: str) -> Sequence[str]:
    path = _FOLDER / name
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        lines = []
    if not lines:
        raise DataError(
            f"a list that came with scrimp is missing or damaged: {path}",
            hint="Install scrimp again: pip install --force-reinstall scrimp",
        )
    return lines

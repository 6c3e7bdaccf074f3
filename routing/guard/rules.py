"""Rules that a person writes: the first of a profile's that a prompt fits says which arms may take it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.installer import how_to_add
from scrimp.profiles.ruling import allowed_by
from scrimp.profiles.rungs import bare_of, base_of
from scrimp.profiles.schema import did_you_mean
from scrimp.routing.text.code import has_code
from scrimp.routing.text.patterns import searched_within

from .language import detector_is_there, language_of, languages
from .verdict import UNGUARDED, Finding, Guarded, Name, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scrimp.profiles.schema import Arm, PlacedRule, Profile, When
    from scrimp.routing.prompts.context import TextEmbedder
    from scrimp.routing.prompts.prompt import Prompt

    from .verdict import Seen

__all__ = ["SEARCH_S", "Rules", "open_rules"]

SEARCH_S: Final = 1.0
"""A pattern that searches all that would be sent for longer than this leaves undecided whether its rule holds."""


def open_rules(profile: Profile, embedder: TextEmbedder, cache: Path | None) -> Rules | None:
    """Return a profile's rules; None where it has none.

    Raises
    ------
    ConfigError
        If one asks for a language and there is nothing to tell it by: it names the rule's file and line.
    """
    del embedder, cache
    for number, rule in enumerate(profile.rules, start=1):
        if rule.when.language is not None and not detector_is_there():
            raise ConfigError(
                f"{rule.at}: rules[{number}]: when.language: telling languages apart needs py3langid",
                hint=how_to_add("language"),
            )
    return Rules(profile.rules, profile.arms) if profile.rules else None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a profile, in the order in which they are tried.

    Attributes
    ----------
    rules
        Each with where it stands.
    arms
        The profile's.
    """

    rules: Sequence[PlacedRule]
    arms: Sequence[Arm]

    @property
    def embeds(self) -> bool:
        """Whether the prompt's embedding is needed: never."""
        return False

    def look(self, seen: Seen) -> Guarded:
        """Return which arms the first rule that a prompt fits keeps it from.

        Raises
        ------
        ConfigError
            If a rule asks for a language that cannot be told.
        """
        facts = _Facts(seen)
        for number, rule in enumerate(self.rules, start=1):
            holds = facts.fits(rule, number)
            if holds is None:
                why = (
                    f"{_called(number, rule)}: its pattern took over {SEARCH_S:g} s on this prompt, so whether it "
                    "holds is not known, and nothing is sent"
                )
                return Guarded((Finding(Name.RULES, Outcome.REFUSED, why, _detail(number, rule, ())),))
            if holds:
                return self._held(number, rule, seen.asked_for)
        return UNGUARDED

    def _held(self, number: int, rule: PlacedRule, asked_for: str | None) -> Guarded:
        why = f"{_called(number, rule)} keeps it from this prompt"
        barred = [arm for arm in self.arms if not allowed_by(rule, arm.name, arm.base)]
        named = None if asked_for is None else bare_of(asked_for)
        asked = [arm.name for arm in barred if named in (arm.name, arm.base)]
        if any(named == arm.base for arm in self.arms if arm not in barred):
            asked = []  # of a ladder some rungs are left
        if named is not None and not asked and not allowed_by(rule, named, base_of(named)):
            asked = [named]  # of a pool
        names = tuple(arm.name for arm in barred if arm.name not in asked)
        only = frozenset((*rule.use, *asked)) if rule.use else None
        detail = _detail(number, rule, names)
        left = [arm.name for arm in self.arms if arm.name not in names]
        if asked:
            said = (
                f"{_called(number, rule)} would keep this prompt from {named}; asked for by name, that goes before it"
            )
            finding = Finding(Name.RULES, Outcome.WARNED, said, {**detail, "overruled": named})
        elif names or only is not None:
            said = f"{_called(number, rule)} holds: {_and(left)} may take this prompt"
            finding = Finding(Name.RULES, Outcome.CHANGED, said, detail)
        else:
            said = f"{_called(number, rule)} holds, and bars no arm"
            finding = Finding(Name.RULES, Outcome.PASSED, said, detail)
        kept_from = {name: why for name in (*names, *rule.never) if name not in asked}
        if asked:  # a ladder's name would bar the rung that was asked for
            kept_from.pop(base_of(asked[0]), None)
        return Guarded((finding,), kept_from, only=only, only_why=why if only is not None else "")


class _Facts:
    """What rules ask of a request, each found out once."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self._texts: tuple[str, ...] | None = None
        self._folded: tuple[str, ...] | None = None
        self._language: str | None = ""
        self._code: bool | None = None

    def fits(self, rule: PlacedRule, number: int) -> bool | None:
        """Return whether all that a rule asks for holds; None where that takes too long to tell."""
        when = rule.when
        if (when.command is not None and when.command != self.seen.command) or (
            when.tag is not None and when.tag != self.seen.tag
        ):
            return False
        if when.has is not None and not self._has(when.has):
            return False
        if when.match is not None:
            found = self._matches(when.match, rule, number)
            if not found:
                return found
        return when.language is None or self._is_in(when, rule, number)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that would be sent, but for what an arm is told of its own."""
        if self._texts is None:
            self._texts = tuple(self.seen.prompt.parts())
        return self._texts

    def _matches(self, match: str, rule: PlacedRule, number: int) -> bool | None:
        if match.startswith("re:"):
            try:
                return searched_within(match.removeprefix("re:"), self.texts, timeout_s=SEARCH_S)
            except re.error as error:  # the engine that can be stopped reads a few patterns otherwise
                why = f"{rule.at}: rules[{number}]: when.match: not a regular expression for a long text: {error}"
                raise ConfigError(why) from None
        if self._folded is None:
            self._folded = tuple(map(_folded, self.texts))
        sought = _occurring(match)
        return any(sought.search(text) is not None for text in self._folded)

    def _is_in(self, when: When, rule: PlacedRule, number: int) -> bool:
        if self._language == "":
            known = languages()
            if when.language not in known:
                raise ConfigError(
                    f"{rule.at}: rules[{number}]: when.language: {when.language!r} is no language that can be told"
                    f"{did_you_mean(when.language or '', known)}",
                    hint="It takes codes of ISO 639: de, en, fr, zh, ...",
                )
            self._language = language_of(self.seen.prompt.text)
        return self._language == when.language

    def _has(self, what: str) -> bool:
        prompt = self.seen.prompt
        if what == "code":
            if self._code is None:
                self._code = _code_in(prompt)
            return self._code
        images = any(each.is_image for each in prompt.attachments) or (
            prompt.chat is not None and prompt.chat.n_images > 0
        )
        if what == "image":
            return images
        files = any(not each.is_image for each in prompt.attachments)
        return files or bool(prompt.sources) or (prompt.chat is not None and prompt.chat.n_files > 0)


def _code_in(prompt: Prompt) -> bool:
    """Return whether the user's turn, or a file that goes with it, has program text in it."""
    return has_code(prompt.text) or any(has_code(source.text) for source in prompt.sources)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _occurring(match: str) -> re.Pattern[str]:
    """Return what finds a text in a folded one: as whole words where it begins and ends in them, however spaced."""
    words = _folded(match).split()
    inside = r"\s+".join(map(re.escape, words))
    before = r"(?<!\w)" if re.match(r"\w", words[0]) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", words[-1]) else ""
    return re.compile(before + inside + after)


def _called(number: int, rule: PlacedRule) -> str:
    return f"rule {number} ({rule.at})"


def _detail(number: int, rule: PlacedRule, bars: Sequence[str]) -> dict[str, object]:
    return {"rule": number, "at": rule.at, "bars": list(bars), "use": list(rule.use), "never": list(rule.never)}


def _and(names: Sequence[str]) -> str:
    if not names:
        return "no arm"
    return names[0] if len(names) == 1 else f"only {', '.join(names[:-1])} and {names[-1]}"

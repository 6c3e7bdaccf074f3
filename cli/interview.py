"""The questions of `scrimp setup`, each with a default, and what can be found before they are asked."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from scrimp.profiles import from_llm
from scrimp.profiles.chain import read_built_in
from scrimp.profiles.credentials import seen
from scrimp.profiles.draft import Draft, drafted, in_toml
from scrimp.profiles.errors import UsageError
from scrimp.profiles.keys import Secret, list_keys
from scrimp.profiles.money import format_usd, nano_from_usd, read_usd
from scrimp.profiles.providers import KEYS_OF, MAKERS, RESELLER, key_name, variable_of, variables
from scrimp.profiles.schema import NAME_PATTERN, PRESETS_USD
from scrimp.profiles.served import Served, ask_server

from .result import ask_line, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrimp.profiles.from_llm import FromLlm
    from scrimp.profiles.keys import Keys
    from scrimp.profiles.paths import Paths
    from scrimp.routing.prices.table import PriceTable

__all__ = ["Found", "Interview", "find"]

_SERVERS: Final = {"ollama": "Ollama", "lmstudio": "LM Studio", "llamacpp": "llama.cpp's server", "vllm": "vLLM"}
_AZURE: Final = "AZURE_API_KEY"
_NAME: Final = "mine"
_MONTH: Final = Decimal(50)
_QUESTION: Final = (300, 500)
"""Tokens of a question and of its answer, for an example in money."""


@dataclass(slots=True)
class Found:
    """What is there to make a profile of.

    Parameters
    ----------
    keys
        Variables of keys, and where each was found: "set" or "stored".
    aws
        Whether AWS's own credentials can be seen.
    serving
        What servers on this machine serve, by built-in profile.
    llm
        What the program `llm` has in its folder, if there is any.
    typed
        Keys that were typed since, by variable; nothing is stored of them yet.
    """

    keys: dict[str, str]
    aws: bool
    serving: Mapping[str, tuple[Served, ...]]
    llm: FromLlm | None = None
    typed: dict[str, Secret] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        """Return whether one of these variables has a key."""
        return any(name in self.keys or name in self.typed for name in names)

    @property
    def usable(self) -> list[str]:
        """The built-in profiles that can be used now, each provider's of which there is a key first."""
        named = [name for name, keys in KEYS_OF.items() if self.has(*keys) or (name == "bedrock" and self.aws)]
        return [*named, *(["azure"] if self.has(_AZURE) else []), *self.serving, "local"]

    @property
    def default(self) -> list[str]:
        """Those of them that are taken unasked: by a key that is for models alone, and servers that answer."""
        picked = [name for name in self.usable if name != "local" and (name != "bedrock" or self.has(*KEYS_OF[name]))]
        if any(name in MAKERS for name in picked):
            picked = [name for name in picked if name != RESELLER]
        return picked or ["local"]


def find(keys: Keys, env: Mapping[str, str], paths: Paths) -> Found:
    """Return the keys that are set and stored, and the models of servers that answer on this machine."""
    stored = list_keys(paths)
    there = {name: "set" if env.get(name, "").strip() else "stored" for name in variables() if keys.has(name)}
    there |= {name: "stored" for name in stored if name not in there}
    serving = {name: served for name in _SERVERS if (served := ask_server(_address(name)))}
    return Found(there, seen("bedrock", env), serving, from_llm.found(env))


def _address(name: str) -> str:
    base = str(next(iter(read_built_in(name).table["arms"].values()))["api_base"])
    return base if base.endswith("/v1") else f"{base}/v1"


class Interview:
    """Asks one question after the other; Enter takes what stands in brackets.

    Parameters
    ----------
    found
        What is there; keys that are typed are added to it.
    table
        For examples in money.
    paths
        For the profiles that there are already.
    yes
        Whether every default is taken, and nothing is asked.

    Raises
    ------
    EOFError
        From every question, where nothing will be typed any more.
    """

    def __init__(self, found: Found, table: PriceTable, paths: Paths, *, yes: bool) -> None:
        self.found = found
        self.table = table
        self.paths = paths
        self.yes = yes

    def draft(self) -> Draft:
        """Return what the answers come to."""
        self._tell()
        self._of_llm()
        if not self.yes:
            self._add_keys()
        of = self._providers()
        azure = self._azure() if "azure" in of else None
        if azure is None and "azure" in of:
            say("azure is left out: without an address nothing can be sent there", mark="")
            of = [name for name in of if name != "azure"] or ["local"]
        month = self._month()
        ollama = tuple(each.model for each in self.found.serving.get("ollama", ()))
        draft = Draft(_NAME, tuple(of), month, azure=azure, ollama=ollama)
        draft = replace(draft, prefer=self._worth(draft))
        return replace(draft, name=self._name(draft))

    def last_word(self, draft: Draft) -> None:
        """Ask whether the file may be written; raise EOFError where not."""
        file = self.paths.profiles / f"{draft.name}.toml"
        if self._ask(f"Write this to {file}, and make it the default?", "yes", _yes_or_no) == "no":
            raise EOFError

    def _tell(self) -> None:
        keys = ", ".join(f"{name} ({where})" for name, where in self.found.keys.items())
        self._line(f"Keys found: {keys or 'none'}" + ("; AWS credentials" if self.found.aws else ""))
        for name, served in self.found.serving.items():
            self._line(f"{_SERVERS[name]} answers on this machine: {', '.join(each.model for each in served[:3])}")

    def _of_llm(self) -> None:
        """Ask whether what llm has is taken over; it is, when the profile is written."""
        there = self.found.llm
        if there is None:
            return
        question = f"Take over what llm has in {there.folder}: {there.in_words()}?"
        if self._ask(question, "yes", _yes_or_no) == "no":
            self.found.llm = None
            return
        for name in there.keys:
            variable = variable_of(name)
            if variable is not None and variable not in self.found.keys:
                self.found.keys[variable] = "llm's"

    def _add_keys(self) -> None:
        while (given := self._ask("Add a key? A provider's name, or Enter for none", "none", _key_or_none)) != "none":
            value = getpass.getpass(f"{given} (unseen; Enter to leave it): ").strip()
            if value and not (value.isascii() and value.isprintable() and " " not in value):
                self._line("that is not a key: paste the key alone, as the provider shows it")
            elif value:
                self.found.typed[given] = Secret(value, given)

    def _providers(self) -> list[str]:
        usable = self.found.usable
        if usable == ["local"]:
            self._line("No key, and no server on this machine: the model that comes with scrimp answers for now.")
            return usable

        def read(text: str) -> str:
            names = list(dict.fromkeys(text.lower().replace(",", " ").split()))
            for name in names:
                if name not in usable:
                    msg = f"{name!r} cannot be used now; there are: {', '.join(usable)}"
                    raise ValueError(msg)
            return ",".join(names)

        return self._ask(f"Which to use? Of: {', '.join(usable)}", ", ".join(self.found.default), read).split(",")

    def _azure(self) -> str | None:
        def read(text: str) -> str:
            if text != "none" and not text.startswith("https://"):
                msg = "an address begins with https://"
                raise ValueError(msg)
            return text.rstrip("/")

        given = self._ask("Address of your Azure resource, as https://NAME.openai.azure.com", "none", read)
        return None if given == "none" else given

    def _month(self) -> Decimal:
        def read(text: str) -> str:
            read_usd(text.removeprefix("$"))
            return text.removeprefix("$")

        return Decimal(self._ask("The most that may be spent in a month, USD", f"{_MONTH}", read))

    def _worth(self, draft: Draft) -> str:
        """Ask what a right answer is worth, beside what a question costs on the cheapest and the dearest arm."""
        costs = sorted(
            (price.expected_nano(*_QUESTION), arm.name)
            for arm in drafted(draft).arms
            if (price := self.table.price(arm)) is not None
        )
        self._line("What is a right answer worth to you?")
        for name, usd in PRESETS_USD.items():
            worth, tenth = format_usd(nano_from_usd(usd)), format_usd(nano_from_usd(usd) // 10)
            self._line(f"  {name:<8} {worth:>6}: to be right once more in ten may cost {tenth} a question")
        if costs and costs[-1][0]:
            (low, cheap), (high, dear) = costs[0], costs[-1]
            self._line(
                f"  (a question of a paragraph costs about {format_usd(low)} on {cheap}, {format_usd(high)} on {dear})"
            )

        def read(text: str) -> str:
            near = [name for name in PRESETS_USD if name.startswith(text.lower())]
            if len(near) != 1:
                msg = f"one of {', '.join(PRESETS_USD)}"
                raise ValueError(msg)
            return near[0]

        return self._ask("Which", "balanced", read)

    def _name(self, draft: Draft) -> str:
        """Ask for a name; one that is taken is asked about, and kept as it is where nothing is asked."""
        free = self._free(draft)
        while True:
            name = self._ask("Name of the profile", free, _profile_name)
            file = self.paths.profiles / f"{name}.toml"
            if name == free or not file.exists():
                return name
            if self._ask(f"There is a profile {name} already ({file}). Replace it?", "no", _yes_or_no) == "yes":
                return name

    def _free(self, draft: Draft) -> str:
        """Return the first name that is free, or whose file says just this already."""
        number = 1
        while True:
            name = _NAME if number == 1 else f"{_NAME}-{number}"
            file = self.paths.profiles / f"{name}.toml"
            if not file.exists() or file.read_bytes() == in_toml(replace(draft, name=name)).encode():
                return name
            number += 1

    def _line(self, text: str) -> None:
        say(text, mark="")

    def _ask(self, question: str, default: str, read: Callable[[str], str]) -> str:
        """Return the answer to a question, as `read` takes it; what it refuses is asked again."""
        if self.yes:
            return read(default)
        while True:
            line = ask_line(f"{question} [{default}]: ")
            if line is None:
                raise EOFError
            try:
                return read(line.strip() or default)
            except (ValueError, UsageError) as error:
                self._line(f"  {error.message if isinstance(error, UsageError) else error}")


def _yes_or_no(text: str) -> str:
    if text.lower() in {"y", "yes"}:
        return "yes"
    if text.lower() in {"n", "no"}:
        return "no"
    msg = "yes or no"
    raise ValueError(msg)


def _key_or_none(text: str) -> str:
    return "none" if text.lower() in {"none", "no", "n"} else key_name(text)


def _profile_name(text: str) -> str:
    if not NAME_PATTERN.fullmatch(text) or text.endswith(".toml"):
        msg = "letters, digits, dots, dashes and underscores"
        raise ValueError(msg)
    return text

"""What the shell is offered while a command line is typed: names of all that has one. Never an error, never slow.

What is offered comes from files of the user's and of others, and the script that Typer makes for zsh evaluates it: so
it is only words of plain characters, with a line of plain words on each.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger

    Offer = Callable[[Any, str], list[tuple[str, str]]]
    Find = Callable[[Any, str], Iterable[str | tuple[str, str]]]

__all__ = [
    "among",
    "complete_aliases",
    "complete_arms",
    "complete_asked_models",
    "complete_calls",
    "complete_checks",
    "complete_conversations",
    "complete_hints",
    "complete_key_names",
    "complete_keys",
    "complete_models",
    "complete_named",
    "complete_needs",
    "complete_options",
    "complete_own_arms",
    "complete_plans",
    "complete_presets",
    "complete_profiles",
    "complete_rated",
    "complete_requests",
    "complete_routers",
    "complete_runs",
    "complete_tags",
    "complete_templates",
    "complete_two_arms",
    "complete_versions",
]

_PLAIN: Final = re.compile(r"[\w@%+=:,./-]+")
"""What a shell takes as one word, and for nothing else."""

_WIDTH: Final = 60


def _completer(find: Find) -> Offer:
    """Return what Typer asks: of all that `find` yields, what begins as what is typed, and can stand in any shell."""

    def offer(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
        try:
            found = [each if isinstance(each, tuple) else (each, "") for each in find(ctx, incomplete)]
        except Exception:  # noqa: BLE001 - whatever is broken, a broken shell would be worse
            return []
        return [
            (word, _in_plain(said)) for word, said in found if word.startswith(incomplete) and _PLAIN.fullmatch(word)
        ]

    offer.__annotations__ = {"ctx": Any, "incomplete": str}
    return offer


def _in_plain(said: str) -> str:
    """Return words that no shell, and no renderer of marked up text, can read as anything else."""
    line = " ".join(re.sub(r"[^\w .,;:?!%+=/()-]", " ", said).split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def among(*words: str | tuple[str, str]) -> Offer:
    """Return a completer of words that are always the same, some with what they mean."""
    return _completer(lambda _ctx, _typed: words)


def _ledger() -> Ledger:
    from . import session

    ledger = session.ledger_to_read()
    if ledger is None:
        raise LookupError
    return ledger


def _profile(ctx: Any) -> Profile:
    """Return the profile that the command line names, or the one that would be used."""
    from scrimp.profiles.load import load_profile
    from scrimp.profiles.paths import paths, working_folder

    return load_profile(ctx.params.get("profile"), env=os.environ, cwd=working_folder(), paths=paths()).profile


def _profiles(_ctx: Any, _typed: str) -> Iterable[tuple[str, str]]:
    from scrimp.profiles.load import list_profiles
    from scrimp.profiles.paths import paths

    return [(each.name, str(each.origin)) for each in list_profiles(paths())]


def _own_arms(ctx: Any, _typed: str) -> Iterable[tuple[str, str]]:
    return [(arm.name, arm.model) for arm in _profile(ctx).arms]


def _aliases(_ctx: Any, _typed: str) -> Iterable[tuple[str, str]]:
    from scrimp.profiles.aliases import read_aliases
    from scrimp.profiles.paths import paths

    return read_aliases(paths()).items()


def _arms(ctx: Any, typed: str) -> Iterable[tuple[str, str]]:
    return _merged(ctx, typed, _own_arms, _aliases)


def _merged(ctx: Any, typed: str, *finds: Find) -> Iterable[Any]:
    """Yield what each yields, and of one that fails nothing."""
    for find in finds:
        yield from _completer(find)(ctx, typed)


def _two_arms(ctx: Any, typed: str) -> Iterable[tuple[str, str]]:
    first, comma, _ = typed.rpartition(",")
    return [(f"{first}{comma}{name}", model) for name, model in _own_arms(ctx, "") if name != first]


def _asked_models(ctx: Any, _typed: str) -> Iterable[str]:
    from scrimp.routing.serving.names import model_names

    return model_names(_profile(ctx))


def _models(_ctx: Any, _typed: str) -> Iterable[str]:
    from scrimp.profiles.paths import paths
    from scrimp.routing.reports.abilities import load_table, table_abilities

    return [row["model"] for row in table_abilities(load_table(paths().abilities))]


def _presets(_ctx: Any, _typed: str) -> Iterable[tuple[str, str]]:
    from scrimp.profiles.schema import PRESETS_USD

    return [(name, f"a right answer is worth {usd} USD") for name, usd in PRESETS_USD.items()]


def _plans(ctx: Any, _typed: str) -> Iterable[tuple[str, str]]:
    return _profile(ctx).plans.items()


def _named_checks(ctx: Any, _typed: str) -> Iterable[str]:
    return list(_profile(ctx).checks)


def _check_kinds(_ctx: Any, _typed: str) -> Iterable[str]:
    from scrimp.routing.asking.ways import check_kinds

    return check_kinds()


def _checks(ctx: Any, typed: str) -> Iterable[Any]:
    return _merged(ctx, typed, _named_checks, _check_kinds)


def _needs(ctx: Any, typed: str) -> Iterable[Any]:
    return _merged(ctx, typed, lambda *_: ("vision", "pdf", "tools", "json"), _arm_tags)


def _arm_tags(ctx: Any, _typed: str) -> Iterable[str]:
    return sorted({tag for arm in _profile(ctx).arms for tag in arm.tags} - {"vision", "pdf", "tools", "json"})


def _hints(_ctx: Any, _typed: str) -> Iterable[tuple[str, str]]:
    from scrimp.profiles.paths import paths
    from scrimp.routing.asking.hint_files import read_hints

    return [(hint.name, hint.about) for hint in read_hints(paths().hints).hints]


def _options(_ctx: Any, _typed: str) -> Iterable[str]:
    from scrimp.profiles.schema import PARAMS

    return sorted({"max_tokens", *PARAMS})


def _templates(_ctx: Any, _typed: str) -> Iterable[str]:
    from scrimp.profiles.paths import paths
    from scrimp.profiles.templates import list_templates

    return list(list_templates(paths()))


def _conversations(_ctx: Any, _typed: str) -> Iterable[str]:
    from scrimp.routing.reports.conversations import names

    return ["last", *names(_ledger())]


def _requests(_ctx: Any, typed: str) -> Iterable[tuple[str, str]]:
    from scrimp.routing.reports.offered import requests_beginning

    return [("last", "the one asked last"), *requests_beginning(_ledger(), typed)]


def _rated(ctx: Any, typed: str) -> Iterable[Any]:
    return _merged(ctx, typed, lambda *_: (("good", "1"), ("bad", "0")), _requests)


def _runs(ctx: Any, typed: str) -> Iterable[tuple[str, str]]:
    """Yield runs after a word that takes one, and such words once one is begun: what else stands there is a file."""
    words = ctx.params.get("words") or []
    if words or ctx.params.get("resume"):
        from scrimp.routing.reports.offered import runs_beginning

        wanted = words in ([], ["show"], ["cancel"], ["status"], ["collect"])
        return [("last", "the one begun last"), *runs_beginning(_ledger(), typed)] if wanted else []
    about = {
        "list": "the runs there are", "show": "how far a run is", "cancel": "give a run up",
        "status": "what is with providers", "collect": "fetch what is done",
    }  # fmt: skip
    return about.items() if typed else []


def _calls(_ctx: Any, _typed: str) -> Iterable[tuple[str, str]]:
    from scrimp.routing.reports.offered import calls_unsettled

    return calls_unsettled(_ledger())


def _tags(_ctx: Any, typed: str) -> Iterable[str]:
    from scrimp.routing.reports.offered import tags_beginning

    return tags_beginning(_ledger(), typed)


def _versions(_ctx: Any, _typed: str) -> Iterable[tuple[str, str]]:
    from scrimp.profiles.paths import paths
    from scrimp.routing.reports.routers import version_names

    return [(name, "in force" if is_current else "") for name, is_current in version_names(paths().routers).items()]


def _routers(ctx: Any, typed: str) -> Iterable[Any]:
    kinds = ("knn", "cluster", "ridge", "length", "random", "cascade")
    return _merged(ctx, typed, _versions, lambda *_: kinds)


def _keys(_ctx: Any, _typed: str) -> Iterable[tuple[str, str]]:
    from scrimp.profiles.keys import list_keys
    from scrimp.profiles.paths import paths

    return list_keys(paths()).items()


def _key_names(ctx: Any, typed: str) -> Iterable[Any]:
    from scrimp.profiles.keys import key_names
    from scrimp.profiles.providers import words

    del typed
    used = [name for arm in _profile(ctx).arms for name in key_names(arm)]
    return [*dict.fromkeys((*used, *words().values())), *words().items()]


complete_aliases = _completer(_aliases)
complete_arms = _completer(_arms)
"""Arms of the profile, and aliases: what -m takes."""
complete_asked_models = _completer(_asked_models)
complete_calls = _completer(_calls)
complete_checks = _completer(_checks)
complete_conversations = _completer(_conversations)
complete_hints = _completer(_hints)
complete_key_names = _completer(_key_names)
complete_keys = _completer(_keys)
complete_models = _completer(_models)
complete_named = _completer(_named_checks)
complete_needs = _completer(_needs)
complete_options = _completer(_options)
complete_own_arms = _completer(_own_arms)
complete_plans = _completer(_plans)
complete_presets = _completer(_presets)
complete_profiles = _completer(_profiles)
complete_rated = _completer(_rated)
complete_requests = _completer(_requests)
complete_routers = _completer(_routers)
complete_runs = _completer(_runs)
complete_tags = _completer(_tags)
complete_templates = _completer(_templates)
complete_two_arms = _completer(_two_arms)
complete_versions = _completer(_versions)

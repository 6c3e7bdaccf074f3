"""What a user of simonw/llm has in its folder, taken over: keys, aliases, templates. Nothing of the user's is replaced.

Keys are never shown. What cannot be taken is said, a line each.
"""

from __future__ import annotations

import json
import os
import string
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .errors import ScrimpError

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping

    from .keys import Secret
    from .paths import Paths
    from .templates import Template

__all__ = ["FromLlm", "found", "take_over"]

_APP: Final = "io.datasette.llm"
_PREFIXES: Final = (
    ("gemini-", "gemini/"), ("grok-", "xai/"), ("deepseek-", "deepseek/"), ("sonar", "perplexity/"),
    ("mistral-", "mistral/"), ("codestral-", "mistral/"), ("magistral-", "mistral/"), ("llama-3", "groq/"),
)  # fmt: skip
"""How models of llm's plugins begin that LiteLLM calls by their provider too."""

_BUILT_IN: Final = {
    "4o": "gpt-4o", "4o-mini": "gpt-4o-mini", "4.1": "gpt-4.1", "4.1-mini": "gpt-4.1-mini", "4.1-nano": "gpt-4.1-nano",
    "4-turbo": "gpt-4-turbo", "4t": "gpt-4-turbo", "4": "gpt-4", "gpt4": "gpt-4",
    "3.5": "gpt-3.5-turbo", "chatgpt": "gpt-3.5-turbo",
}  # fmt: skip
"""llm's own aliases."""

_FIELDS: Final = frozenset({
    "name", "prompt", "system", "attachments", "attachment_types", "model", "defaults", "options", "extract",
    "extract_last", "schema_object", "fragments", "system_fragments", "tools", "functions",
})  # fmt: skip
_ABOUT: Final = {
    "functions": "functions are not run by scrimp",
    "tools": "scrimp calls no tools of its own",
    "system_fragments": "a system prompt is text: put it into `system`",
}
"""Why some fields of a template are left out."""


@dataclass(frozen=True, slots=True)
class FromLlm:
    """What is in llm's folder.

    Attributes
    ----------
    folder
        Where it was found.
    keys
        Keys by llm's names for them.
    aliases
        Models by alias.
    templates
        Files by name.
    default_model
        What llm asks where nothing is said; None where that was not chosen.
    log
        Its log; None where there is none.
    rest
        Files that nothing here stands for, each with what to do about it.
    problems
        What could not be read, a line each.
    """

    folder: Path
    keys: Mapping[str, Secret] = field(default_factory=dict, repr=False)  # a name may be a key by mistake
    aliases: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, Path] = field(default_factory=dict)
    default_model: str | None = None
    log: Path | None = None
    rest: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def in_words(self) -> str:
        """Return what there is, in a few words."""
        counts = ((len(self.keys), "key"), (len(self.aliases), "alias"), (len(self.templates), "template"))
        words = [f"{n} {what}{'' if n == 1 else 'es' if what == 'alias' else 's'}" for n, what in counts if n]
        return ", ".join([*words, *(["a log"] if self.log else [])]) or "nothing to take over"


def found(env: Mapping[str, str]) -> FromLlm | None:
    """Look into llm's folder; nothing is changed.

    Returns
    -------
    FromLlm or None
        None where there is no such folder, or nothing in it.
    """
    folder = _folder(env)
    if folder is None or not folder.is_dir():
        return None
    from .keys import Secret

    problems: list[str] = []
    keys = {name: key for name, key in _table(folder / "keys.json", problems).items() if not name.startswith("//")}
    there = FromLlm(
        folder,
        {name: Secret(key, "llm") for name, key in keys.items()},
        _table(folder / "aliases.json", problems),
        {path.stem: path for path in sorted(_files(folder / "templates")) if path.suffix == ".yaml"},
        _first_line(folder / "default_model.txt"),
        log if (log := folder / "logs.db").is_file() else None,
        tuple(said for name, said in _REST.items() if (folder / name).is_file()),
        tuple(problems),
    )
    empty = not (there.keys or there.aliases or there.templates or there.default_model or there.log)
    return None if empty and not problems else there


_REST: Final = {
    "model_options.json": "options of models (model_options.json) are not taken: say them with -o, or in an arm",
    "extra-openai-models.yaml": "models of your own (extra-openai-models.yaml) are not taken: each is an arm with an "
    "api_base (docs/profiles.md)",
    "embeddings.db": "embeddings are not taken: scrimp keeps none to search in",
}


def take_over(
    there: FromLlm, paths: Paths, env: Mapping[str, str], *, known: Callable[[str], bool] | None = None
) -> list[str]:
    """Take over what `found` has; return what was done and what was not, a line each.

    What the user has under the same name already stays as it is, so that doing it again changes nothing.

    Parameters
    ----------
    known
        Tells whether `-m` could ask a model (its price is known): aliases of others are left out. None: all are taken.
    """
    lines = [f"llm: {problem}" for problem in there.problems]
    lines += _take_keys(there, paths, env)
    lines += _take_aliases(there, paths, known)
    lines += _take_templates(there, paths, known)
    if there.default_model is not None:
        model = spelled(there.default_model, known)
        lines.append(f"llm's default model is {model}: scrimp chooses for each prompt; `-m {model}` asks it alone")
    lines += there.rest
    if there.log is not None:
        lines.append(f"llm's log is not copied: scrimp learn import {_quoted(there.log)}")
    return lines


def spelled(model: str, known: Callable[[str], bool] | None = None) -> str:
    """Return a model of llm's, or an alias that llm has of itself, as LiteLLM calls it, as far as its name says."""
    model = _BUILT_IN.get(model, model)
    if known is not None and known(model):
        return model
    prefix = next((prefix for begins, prefix in _PREFIXES if model.startswith(begins)), "")
    return f"{prefix}{model}" if known is None or not prefix or known(f"{prefix}{model}") else model


def _folder(env: Mapping[str, str]) -> Path | None:
    """Return where llm keeps its files, as it finds that out itself; None where there can be no such place."""
    if env.get("LLM_USER_PATH"):
        return Path(env["LLM_USER_PATH"])
    try:
        if sys.platform == "win32":
            return Path(env.get("APPDATA") or Path.home()) / _APP
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Application Support" / _APP
        return Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config") / _APP
    except RuntimeError:
        return None


def _table(path: Path, problems: list[str]) -> dict[str, str]:
    """Return a JSON file of names and texts; what is wrong with it is a problem, told without what it holds."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        problems.append(f"{path} cannot be read, and is left out")
        return {}
    if not isinstance(read, dict):
        problems.append(f"{path} is no table, and is left out")
        return {}
    return {name: value for name, value in read.items() if isinstance(value, str) and value.strip()}


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if path.is_file())
    except OSError:
        return


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip().partition("\n")[0][:200] or None
    except (OSError, ValueError):
        return None


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))


def _variable(name: str) -> str | None:
    from .providers import key_name

    try:
        return key_name(name)
    except ScrimpError:
        return None


def _take_keys(there: FromLlm, paths: Paths, env: Mapping[str, str]) -> Iterator[str]:
    from .keys import list_keys, set_key

    stored = list_keys(paths)
    for name, key in there.keys.items():
        variable = _variable(name)
        if variable is None:
            shown = f"key {name}" if name.isalpha() and len(name) <= 20 else "key with a name that may be one itself"
            yield f"llm's {shown} is not taken: it is no provider's (scrimp keys set VARIABLE keeps any)"
            continue
        if variable in stored or env.get(variable):
            where = "is stored" if variable in stored else "is set in the environment"
            yield f"{variable} {where} already, and stays as it is"
            continue
        try:
            where = set_key(variable, key.reveal(), paths, env=env)
        except ScrimpError as error:
            yield f"llm's key {name} is not taken: {error.message}"
            continue
        stored[variable] = where
        yield f"took {variable}, llm's key {name}"


def _take_aliases(there: FromLlm, paths: Paths, known: Callable[[str], bool] | None) -> Iterator[str]:
    from .aliases import read_aliases, set_alias

    try:
        own = read_aliases(paths)
    except ScrimpError as error:
        yield f"llm's aliases are not taken: {error.message}"
        return
    for name, model in there.aliases.items():
        target = spelled(model, known)
        if name in own:
            if own[name] != target:
                yield f"alias {name} stands for {own[name]} already, and stays as it is (llm's: {target})"
        elif known is not None and not known(target):
            yield f"alias {_plain(name)} is not taken: no model {_plain(model)} with a price is known"
        else:
            try:
                set_alias(name, target, paths)
                yield f"took alias {name}, for {target}"
            except ScrimpError as error:
                yield f"alias {_plain(name)} is not taken: {error.message}"


def _take_templates(there: FromLlm, paths: Paths, known: Callable[[str], bool] | None) -> Iterator[str]:
    from .templates import list_templates, save_template

    try:
        own = list_templates(paths)
    except ScrimpError as error:
        yield f"llm's templates are not taken: {error.message}"
        return
    for name, path in there.templates.items():
        if name in own:
            yield f"there is a template {name} already, and it stays as it is"
            continue
        try:
            template, left_out = read_llm_template(path, known)
            save_template(name, template, paths)
            _read_back(name, paths)
        except (ScrimpError, _NotTakenError) as error:
            said = error.message if isinstance(error, ScrimpError) else str(error)
            yield f"template {_plain(name)} is not taken: {said}"
            continue
        yield f"took template {name}" + (f", without {'; without '.join(left_out)}" if left_out else "")


def _read_back(name: str, paths: Paths) -> None:
    """Read a template that was just written, and take it away again if that cannot be done."""
    from .templates import read_template, remove_template

    try:
        read_template(name, paths)
    except ScrimpError:
        remove_template(name, paths)
        raise


class _NotTakenError(Exception):
    """Why a template cannot be taken."""


def read_llm_template(path: Path, known: Callable[[str], bool] | None = None) -> tuple[Template, list[str]]:
    """Read one of llm's templates; return it as one of scrimp's, and what of it is left out, each with the reason.

    `$input` and `$name` become `{{input}}` and `{{name}}`, `$$` a dollar sign.
    """
    import yaml

    from .templates import Template

    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        raise _NotTakenError("it cannot be read as YAML") from None
    if isinstance(said, str):
        said = {"prompt": said}
    if not isinstance(said, dict) or not all(isinstance(key, str) for key in said):
        raise _NotTakenError("it is no table")
    if unknown := sorted(said.keys() - _FIELDS):
        raise _NotTakenError(f"llm knows no {', '.join(map(_plain, unknown))}")
    left_out = [f"{name} ({why})" for name, why in _ABOUT.items() if said.get(name)]
    settings: dict[str, Any] = {
        "prompt": _with_variables(said, "prompt") or "",
        "system": _with_variables(said, "system"),
    }
    if said.get("model"):
        settings["model"] = spelled(str(said["model"]), known)
    if said.get("defaults"):
        settings["defaults"] = {str(name): str(value) for name, value in _dict(said, "defaults").items()}
    if said.get("options"):
        settings["options"] = {str(key): value for key, value in _dict(said, "options").items() if value is not None}
    if said.get("schema_object"):
        settings["schema"] = json.dumps(_dict(said, "schema_object"), ensure_ascii=False)
    if said.get("extract") or said.get("extract_last"):
        settings["extract"] = True
        if said.get("extract_last"):
            left_out.append("extract_last (--extract takes the first block)")
    attached = [*_list(said, "attachments"), *(str(each.get("value")) for each in _tables(said, "attachment_types"))]
    settings["attachment"] = tuple(attached)
    fragments = [str(each) for each in _list(said, "fragments")]
    settings["file"] = tuple(each for each in fragments if _is_place(each))
    if len(settings["file"]) < len(fragments):
        left_out.append("fragments by name (they are in llm's log: save them as files, and name those by -f)")
    return Template(**settings), left_out


def _with_variables(said: Mapping[str, Any], name: str) -> str | None:
    text = said.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise _NotTakenError(f"its {name} is no text")
    if "{{" in text:
        raise _NotTakenError(f"its {name} has {{{{ in it, which stands for a variable here")

    def put(found: re.Match[str]) -> str:
        if found["escaped"] is not None:
            return "$"
        variable = found["named"] or found["braced"]
        return found[0] if variable is None else f"{{{{{variable}}}}}"

    return string.Template.pattern.sub(put, text)


def _dict(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(said[name], dict):
        raise _NotTakenError(f"its {name} are no table")
    return dict(said[name])


def _list(said: Mapping[str, Any], name: str) -> list[Any]:
    values = said.get(name) or []
    if not isinstance(values, list):
        raise _NotTakenError(f"its {name} are no list")
    return values


def _tables(said: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = _list(said, name)
    if not all(isinstance(each, dict) for each in values):
        raise _NotTakenError(f"its {name} are no list of tables")
    return values


def _is_place(fragment: str) -> bool:
    """Tell whether a fragment is a URL or a file's whole path: others are names in llm's log."""
    return fragment.startswith(("https://", "http://")) or (os.path.isabs(fragment) and os.path.exists(fragment))  # noqa: PTH110, PTH117


def _plain(text: str) -> str:
    """Return a name that may be anything so that it can be shown."""
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."

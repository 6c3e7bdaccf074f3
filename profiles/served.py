"""Arms whose model is a star, `hosted_vllm/*`: the model is the one that a server on this machine says it serves."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .errors import ScrimpError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .keys import Keys
    from .layers import Tree
    from .schema import Arm, Profile

__all__ = ["Served", "ask_server", "name_served", "unnamed"]

_TIMEOUT_S: Final = 1.0
_MAX_BYTES: Final = 1 << 20
_ON_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Served:
    """A model that a server serves, and the tokens of its window; None where the server does not say."""

    model: str
    window: int | None = None


def unnamed(arm: Arm) -> bool:
    """Return whether an arm's model is a star that no server has put a name to."""
    return arm.model.endswith("/*")


def name_served(tree: Tree, profile: Profile, keys: Keys) -> bool:
    """Put the models that servers serve in place of the stars of merged tables; return whether there is anything new.

    Only servers on this machine are asked, at the addresses that the profile gives. Where none answers, a star stays;
    a profile without stars asks nobody.

    Parameters
    ----------
    tree
        The merged tables, which are changed.
    profile
        The profile that they make.
    keys
        For servers that take one.
    """
    changed = False
    answers: dict[str, tuple[Served, ...]] = {}
    for arm in profile.arms:
        if not unnamed(arm) or arm.api_base is None:
            continue
        if arm.api_base not in answers:
            answers[arm.api_base] = ask_server(arm.api_base, _key(arm, keys))
        if not answers[arm.api_base]:
            continue
        first, table = answers[arm.api_base][0], tree.table["arms"][arm.base]
        table["model"] = f"{arm.provider}/{first.model}"
        windows = [window for window in (arm.context_window, first.window) if window is not None]
        if windows:
            table["context_window"] = min(windows)
        changed = True
    return changed


def ask_server(api_base: str, key: str | None = None) -> tuple[Served, ...]:
    """Return the models that a server on this machine serves, in its order, those that only embed left out.

    A server elsewhere is not asked, and one that does not answer within a second, or not in the way of OpenAI's
    interface, serves none.

    Parameters
    ----------
    api_base
        Its address, such as "http://127.0.0.1:8000/v1".
    key
        Its key, if it takes one.
    """
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    url = urlsplit(api_base)
    if url.scheme != "http" or url.hostname not in _ON_THIS_MACHINE:
        return ()
    with contextlib.suppress(OSError, HTTPException, ValueError, msgspec.MsgspecError):
        connection = HTTPConnection(url.hostname, url.port, timeout=_TIMEOUT_S)
        try:
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            connection.request("GET", f"{url.path.rstrip('/')}/models", headers=headers)
            reply = connection.getresponse()
            body = reply.read(_MAX_BYTES)
        finally:
            connection.close()
        if reply.status == 200:
            return _read(msgspec.json.decode(body))
    return ()


def _read(reply: Any) -> tuple[Served, ...]:
    rows = reply.get("data") if isinstance(reply, dict) else None
    found = []
    for row in rows if isinstance(rows, list) else []:
        name = row.get("id") if isinstance(row, dict) else None
        if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 200 and "embed" not in name.lower():
            found.append(Served(name, _window(row)))
    return tuple(found)


def _window(row: Mapping[str, Any]) -> int | None:
    """Return the window that a server states beside a model: `max_model_len` (vLLM), or `n_ctx` in its `meta`."""
    meta = row.get("meta")
    stated = row.get("max_model_len", meta.get("n_ctx") if isinstance(meta, dict) else None)
    return stated if isinstance(stated, int) and stated > 0 else None


def _key(arm: Arm, keys: Keys) -> str | None:
    if keys.status(arm) != "present":
        return None
    with contextlib.suppress(ScrimpError):
        key = keys.resolve(arm)
        return None if key is None else key.reveal()
    return None

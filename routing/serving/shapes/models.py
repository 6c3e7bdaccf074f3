"""The models that are offered, as each interface lists them: GET /v1/models, and GET /v1/models/NAME."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["list_models", "one_model", "speaks_anthropic"]


def speaks_anthropic(headers: Mapping[str, str]) -> bool:
    """Return whether a client is Anthropic's: both interfaces list their models at the same path.

    Parameters
    ----------
    headers
        By their names in lower case.
    """
    return "anthropic-version" in headers


def one_model(name: str, headers: Mapping[str, str], *, created: int) -> dict[str, Any]:
    """Return one model; `created` is in Unix seconds."""
    if not speaks_anthropic(headers):
        return {"id": name, "object": "model", "created": created, "owned_by": "scrimp"}
    at = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": name, "display_name": name, "created_at": at, "lifecycle": "active"}


def list_models(names: Sequence[str], headers: Mapping[str, str], *, created: int) -> dict[str, Any]:
    """Return the list of all, in one page."""
    data = [one_model(name, headers, created=created) for name in names]
    if not speaks_anthropic(headers):
        return {"object": "list", "data": data}
    ends = {"first_id": names[0], "last_id": names[-1]} if names else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}

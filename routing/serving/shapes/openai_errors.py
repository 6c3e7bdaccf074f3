"""OpenAI's error object, which both its interfaces send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.text.sanitize import encodable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .shape import Kind

__all__ = ["CODES", "error_body"]

_TYPES: Final[Mapping[Kind, str]] = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "budget": "insufficient_quota",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "invalid_request_error",
    "too_long": "invalid_request_error",
    "rate_limit": "rate_limit_error",
    "api": "server_error",
    "overloaded": "server_error",
    "timeout": "server_error",
}

CODES: Final[Mapping[Kind, str | None]] = {
    "invalid_request": None,
    "authentication": "invalid_api_key",
    "budget": "insufficient_quota",
    "permission": None,
    "not_found": "model_not_found",
    "too_large": "request_too_large",
    "too_long": "context_length_exceeded",
    "rate_limit": "rate_limit_exceeded",
    "api": "server_error",
    "overloaded": "server_is_overloaded",
    "timeout": "timeout",
}
"""The codes by which programs tell errors apart."""


def error_body(kind: Kind, message: str, param: str | None) -> dict[str, Any]:
    """Return the body of an error."""
    return {"error": {"message": encodable(message), "type": _TYPES[kind], "param": param, "code": CODES[kind]}}

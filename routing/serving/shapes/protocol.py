"""What every interface does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .encoder import Encoder
    from .shape import Kind, Sent, Wanted

__all__ = ["Shape"]


class Shape(Protocol):
    """One interface."""

    name: str

    def read(self, body: Any, headers: Mapping[str, str]) -> Wanted:
        """Return what a request asks for.

        Parameters
        ----------
        body
            The decoded JSON.
        headers
            By their names in lower case.

        Raises
        ------
        ShapeError
            If it cannot be kept to.
        """
        ...

    def whole(self, wanted: Wanted, sent: Sent) -> dict[str, Any]:
        """Return the body of an answer that is sent at once."""
        ...

    def stream(self, wanted: Wanted, *, id: str, model: str, created: int) -> Encoder:  # noqa: A002 - the field's name
        """Return what writes an answer as it comes; the parameters are those of the `Sent` at its end."""
        ...

    def error(self, kind: Kind, message: str, *, param: str | None = None, id: str | None = None) -> dict[str, Any]:  # noqa: A002
        """Return the body of an error; `id` is the request's, where there is one."""
        ...

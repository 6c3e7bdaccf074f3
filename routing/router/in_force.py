"""Which router is in force, and where the shipped one lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .arms import Router
from scrimp.profiles.reading import read_bytes

from .tier_prior import TierPrior

__all__ = ["SHIPPED", "current_version", "load_router", "shipped_folder"]


SHIPPED: Final = "shipped"
"""The name of the router that comes with scrimp."""


def shipped_folder() -> Path:
    """Return where the shipped router lies."""
    return Path(__file__).parents[1] / "weights" / "router"


def current_version(routers_dir: Path) -> str | None:
    """Return the name of the promoted version, from the file `current`; None for the shipped."""
    try:
        text = read_bytes(routers_dir / "current").decode("utf-8", "replace").strip()
    except OSError:
        return None
    # A damaged file names no folder, and whoever opens that one says so: the shipped router is no silent stand-in.
    name = "".join(c if c.isprintable() else "\ufffd" for c in text[:80])
    return None if name in {"", SHIPPED} else name


def load_router(version: str | None, routers_dir: Path, *, embedder_id: str | None = None) -> Router:
    """Return a router: the named or current learned version, else the shipped one.

    A current version that cannot be used is not fatal: the shipped router stands in, and its `note` says why. A version
    asked for by name is.

    Parameters
    ----------
    version
        A folder of `routers_dir`, "shipped", or None for the current one.
    routers_dir
        Where learned versions lie; it need not exist.
    embedder_id
        The embedder in use; None accepts any.

    Raises
    ------
    DataError
        If the version asked for by name cannot be used.
    """
    from scrimp.profiles.errors import DataError

    from .folder import read_router

    named = version is not None and version != SHIPPED
    if named and (Path(str(version)).name != version or str(version).startswith(".")):
        raise DataError(f"router version {version!r} refused: that is not the name of a version")
    chosen = version if version is not None else current_version(routers_dir)
    note = None
    if chosen is not None and chosen != SHIPPED:
        try:
            return read_router(routers_dir / Path(chosen).name, embedder_id=embedder_id)
        except DataError as error:
            if named:
                raise
            note = f"{error.message}; the shipped router is used"
    try:
        shipped = read_router(shipped_folder(), embedder_id=embedder_id)
    except DataError as error:
        note = f"{note}; " if note else ""
        return TierPrior(note=f"{note}{error.message}; quality is a guess from tier and price")
    return shipped.with_note(note) if note else shipped

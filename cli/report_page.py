"""`report --html`: the report as one page, in a file of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.paths import paths

from . import session
from .outputs import own_page
from .result import Result

if TYPE_CHECKING:
    from pathlib import Path

    from scrimp.profiles.schema import Profile
    from scrimp.routing.prices.price import ArmPrice

__all__ = ["report_page"]


def report_page(path: Path, *, profile: str | None, days: float | None, texts: bool) -> Result:
    """Write the report to a file; return what is said of it.

    Parameters
    ----------
    texts
        Whether prompts and answers stand in it where they are kept.

    Raises
    ------
    UsageError
        If another file than such a page is there, or it cannot be written.
    """
    from scrimp.routing.learn.measuring.overview import make_overview
    from scrimp.routing.reports.page.report import report_html

    with own_page(path, "report") as file:
        chosen, problem = _profile(profile)
        found = make_overview(
            session.ledger_to_read(),
            now=time.time(),
            routers=paths().routers,
            days=days,
            only=profile if chosen is None or profile is None else chosen.name,
            profile=chosen,
            problem=problem,
            alone=None if chosen is None else _alone(chosen),
            texts=texts,
        )
        data = report_html(found).encode()
        file.write(data)
    told = {"schema_version": 1, "path": str(path.absolute()), "n_bytes": len(data), "requests": found.survey.n}
    n = found.survey.n
    said = f"{n:,} {'request' if n == 1 else 'requests'}, {len(data) / 1000:,.0f} kB; open it with a browser"
    return Result(data=told, blocks=(str(path.absolute()),), messages=(said,))


def _profile(name: str | None) -> tuple[Profile | None, str | None]:
    """Return the profile whose caps are shown, or why there is none: a log may be of one that is gone."""
    try:
        return session.load(name, quiet=True).profile, None
    except ScrimpError as error:
        return None, error.message


def _alone(profile: Profile) -> tuple[str, ArmPrice] | None:
    """Return the default arm and its price; None where it has none."""
    arm = profile.arm(profile.default_arm)
    price = session.price_table().price(arm)
    return None if price is None else (arm.name, price)

"""How able models are: a profile's arms, any model by its name, or the whole table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.profiles.files import store_own
from scrimp.profiles.reading import read_bytes
from scrimp.profiles.schema import Arm
from scrimp.routing.deciding.options import know_arm
from scrimp.routing.router.abilities import place_arm
from scrimp.routing.router.ability_files import check_file, load_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scrimp.profiles.schema import Profile
    from scrimp.routing.prices.table import PriceTable
    from scrimp.routing.router.abilities import AbilityTable
    from scrimp.routing.router.placed import Placed

__all__ = ["arm_abilities", "load_table", "model_abilities", "table_abilities", "take_abilities"]


def arm_abilities(profile: Profile, prices: PriceTable, table: AbilityTable) -> list[dict[str, Any]]:
    """Return a row for each arm of a profile, as `models abilities --json` spells it: logits, an 80% interval."""
    return [{"arm": arm.name, **_row(arm.model, place_arm(table, know_arm(arm, prices).info))} for arm in profile.arms]


def model_abilities(models: Iterable[str], prices: PriceTable, table: AbilityTable) -> list[dict[str, Any]]:
    """Return a row for each model by its name; its price is the table's, where it has one."""
    return [_row(model, place_arm(table, know_arm(Arm(name="model", model=model), prices).info)) for model in models]


def table_abilities(table: AbilityTable) -> list[dict[str, Any]]:
    """Return a row for every model of the table, the ablest first."""
    return [_row(model, placed) for model, placed in table.items()]


def _row(model: str, placed: Placed) -> dict[str, Any]:
    return {
        "model": model,
        "ability": round(placed.ability, 2),
        "low": round(placed.low, 2),
        "high": round(placed.high, 2),
        "basis": placed.basis,
    }


def take_abilities(update: Path, own: Path) -> int:
    """Make a file the user's own table of abilities; return how many models it places.

    Raises
    ------
    UsageError
        If it cannot be read.
    DataError
        If it is no table of abilities: the message names the file, the line or row, and the field.
    """
    try:
        data = read_bytes(update)
    except OSError as error:
        raise UsageError(f"cannot read {update}: {error.strerror}") from None
    stored, n_models = check_file(data, str(update))
    store_own(own, stored)
    return n_models

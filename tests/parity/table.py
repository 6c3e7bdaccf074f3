"""The table itself: its cells, and how one is judged."""

import pytest
from parity.ways import ASK, differences
from parity.worlds import WORLDS

__all__ = ["cells", "judge"]


def cells(ways):
    """Return the pairs of world and way that there are, as pytest's parameters."""
    pairs = ((world, way) for world in WORLDS for way in ways if way.fits(world))
    return [pytest.param(world, way, id=f"{world.name}-{way.name}") for world, way in pairs]


_asked = {}


def judge(stage, world, way):
    """Play a world in a way, and compare what came of it to what the world says, and to the same world asked."""
    if world.name not in _asked:
        _asked[world.name] = ASK.play(stage(world, "ask"), world)
    wanted = _asked[world.name]
    got = wanted if way is ASK else way.play(stage(world, "other"), world)
    wrong = [
        f"{name}: {mine!r}, not {its!r}"
        for name, mine, its in (
            ("ends", got.ends, world.ends),
            ("calls", got.calls, world.calls),
            ("by", got.by, world.by),
            ("says", got.says, wanted.says if world.says is None and world.by is not None else world.says),
            ("leaks", got.leaks, ()),
            ("commands", got.commands, {way.command} if world.calls else set()),
        )
        if mine != its
    ]
    if got.exits and not got.exits >= wanted.exits:
        wrong.append(f"exits: it stands for {sorted(got.exits)}, not {sorted(wanted.exits)}")
    wrong += differences(got.tables, wanted.tables, way.lawful(world))
    assert not wrong, "\n".join([*wrong, got.said])

"""The cells of the parity table that are not equal yet, and why; a cell that has become equal has to go from here."""

_DRIFT: dict[str, dict[str, tuple[str, ...]]] = {}
"""Reason, way, worlds."""

DRIFT = {(world, way): reason for reason, ways in _DRIFT.items() for way, worlds in ways.items() for world in worlds}
"""The reason of each cell: (world, way)."""

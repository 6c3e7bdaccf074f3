"""The cells of the parity table that are not equal yet, and why; a cell that has become equal has to go from here."""

_DRIFT: dict[str, dict[str, tuple[str, ...]]] = {
    "a call that never left is charged in full after a kill": {
        "batch killed at reserved:1 and resumed": ("ok", "passes a check", "judged right"),
        "batch killed at reserved:2 and resumed": ("judged right",),
    },
    "`batch` has no --plan, --cascade and --repair": {
        "batch": (
            "escalates",
            "does not escalate",
            "escalates in vain",
            "escalates from a failure",
            "escalates into a failure",
            "escalates to a second try",
            "no stage answers",
            "three stages",
            "by one gate of two",
            "two agree",
            "two disagree",
            "one of two fails",
            "a vote",
            "the best of three",
            "the best by a judge",
            "a judge lets escalate",
            "repairs",
            "the planner's own cascade",
            "a cap in mid-plan",
            "a plan that no cap carries",
            "escalates in vain, unlogged",
            "two agree, unlogged",
            "escalates, unlogged",
        ),
        "batch, the row's plan": ("repairs",),
        "batch killed at reserved:1 and resumed": ("escalates", "does not escalate"),
        "batch killed at reserved:2 and resumed": ("escalates",),
        "batch killed at sent:1 and resumed": ("escalates", "does not escalate"),
        "batch killed at sent:2 and resumed": ("escalates", "two agree", "escalates, unlogged"),
        "batch killed at settled:1 and resumed": (
            "escalates",
            "does not escalate",
            "two agree",
            "two disagree",
            "a vote",
            "the best of three",
            "a judge lets escalate",
            "repairs",
            "escalates, unlogged",
        ),
        "batch killed at settled:2 and resumed": ("escalates", "three stages", "two disagree", "a judge lets escalate"),
        "batch killed at settled:3 and resumed": ("a judge lets escalate",),
        "batch killed at settling:1 and resumed": ("escalates", "does not escalate"),
        "batch killed at settling:2 and resumed": ("escalates", "two agree", "escalates, unlogged"),
        "batch killed at settling:3 and resumed": ("three stages", "two disagree", "a vote"),
    },
}
"""Reason, way, worlds."""

DRIFT = {(world, way): reason for reason, ways in _DRIFT.items() for way, worlds in ways.items() for world in worlds}
"""The reason of each cell: (world, way)."""

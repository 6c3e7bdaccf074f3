"""The log as a page to browse: a row for each request, which opens to all that is on record of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import nano_from_usd

from .document import Cell, document, empty, number, table
from .figures import UNKNOWN, count, money, share, together, usd
from .markup import NOTHING, Markup, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.reports.entries import Entry

__all__ = ["browse_html"]

_FIRST: Final = 140
"""Characters of a prompt in its row."""

_ARMS: Final = 12
"""Arms of a decision that are shown: those taken, then by utility."""


def browse_html(entries: Sequence[Entry], *, made_at: str, filters: str) -> str:
    """Return the page.

    Parameters
    ----------
    entries
        The requests, newest first.
    made_at
        When it was made, to the minute.
    filters
        Which requests were asked for, in words; "" for the latest of all.
    """
    n = len(entries)
    told = together([f"{n:,} {'request' if n == 1 else 'requests'}, newest first", filters, f"made {made_at}"])
    header = tag(
        "header",
        tag(
            "div",
            tag(
                "div",
                tag("h1", "scrimp log"),
                tag("p", told, class_="about"),
                tag("p", "Quality: what is known of the answer, 0 to 1; with ~, what was predicted.", class_="about"),
            ),
            tag("button", "Dark or light", id="theme", class_="tool", type="button", hidden=""),
            class_="top",
        ),
        tag(
            "div",
            tag("input", id="find", type="search", placeholder="Find in these requests", aria_label="find"),
            tag("span", f"{n:,} of {n:,}", id="found", class_="quiet", role="status"),
            id="finder", class_="find", hidden="",
        ),
    )  # fmt: skip
    titles = ("time (UTC)", "arm", "cost", "quality", "status", "asked")
    columns = tag(
        "div",
        *(tag("span", title, class_="n" if title in ("cost", "quality") else None) for title in titles),
        class_="columns",
    )
    if entries:
        body: Markup = tag("div", columns, *map(_entry, entries), class_="log")
    else:
        body = empty("No request fits.", "scrimp log", " lists what there is.")
    return document("log", f"scrimp log, {made_at}", (header, tag("main", body)))


def _entry(entry: Entry) -> Markup:
    row, of = entry.row, entry.row["id"]
    text = row["prompt"]
    first = "(not kept)" if text is None else " ".join(text[: 4 * _FIRST].split())[:_FIRST]
    open_calls = " *" if row["n_open"] else ""
    cost = UNKNOWN if row["charged_usd"] is None else usd(row["charged_usd"]) + open_calls
    summary = tag(
        "summary",
        tag("span", row["created_at"][:16].replace("T", " "), class_="when"),
        tag("span", row["arm"] or "-", class_="arm"),
        tag("span", cost, class_="n cost"),
        tag("span", _quality(entry), class_="n"),
        tag("span", row["status"], class_="status" if row["status"] == "ok" else "status bad-word"),
        tag("bdi", first, class_="first quiet" if text is None else "first", dir="auto"),
    )
    return tag("details", summary, tag("div", *_body(entry), class_="body"), id=f"r{of}")


def _quality(entry: Entry) -> str:
    if entry.worth is not None:
        return f"{entry.worth:g}"
    return "-" if entry.predicted is None else f"~{share(entry.predicted)}"


def _body(entry: Entry) -> list[Markup]:
    row, more = entry.row, entry.more
    tagged = None if more["tag"] is None else f"tag {more['tag']}"
    said = together([f"profile {more['profile']}", more["command"], tagged or "", _files(more)])
    parts = [tag("p", tag("code", row["id"]), " ", tag("span", said, class_="quiet"))]
    for name in ("system", "prompt", "answer"):
        if more[name] is not None:
            parts += [tag("h3", name[:1].upper() + name[1:]), _text(more[name], more[f"n_{name}"], row["id"])]
        elif name != "system":
            parts += [tag("h3", name[:1].upper() + name[1:]), tag("p", "not kept", class_="quiet")]
    if more["error"]:
        parts += [tag("h3", "Error"), _text(more["error"], None, row["id"])]
    parts += [*_decision(entry), *_guards(entry), *_steps(entry), *_attempts(entry), *_labels(entry)]
    return parts


def _files(more: Mapping[str, Any]) -> str:
    try:
        names = [str(each.get("name", "a file")) for each in json.loads(more["sources"] or "[]")]
    except (ValueError, AttributeError, TypeError):
        return ""
    return f"files {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}" if names else ""


def _text(text: str, n_chars: int | None, of: str) -> Markup:
    left = 0 if n_chars is None else n_chars - len(text)
    rest = (
        tag("p", f"{left:,} more characters: ", tag("code", f"scrimp log show {of}"), class_="quiet")
        if left > 0
        else NOTHING
    )
    return tag("div", tag("pre", text, class_="text", dir="auto", tabindex="0"), rest)


def _decision(entry: Entry) -> list[Markup]:
    trace = entry.decision
    if trace is None:
        return [tag("h3", "Decision"), tag("p", "not kept", class_="quiet")]
    parts = [tag("h3", "Decision")]
    plan = trace.get("plan")
    if plan:
        parts.append(tag("p", "plan ", tag("code", str(plan.get("text", "")))))
    told = [
        f"a right answer is worth {usd(trace['wtp_usd'])}" if trace.get("wtp_usd") is not None else "",
        f"router {trace.get('router_version')}",
        "explored" if trace.get("explored") else "",
        f"no draw: {trace['propensity_note']}" if trace.get("propensity_note") else "",
        f"guard: {trace['guard']}" if trace.get("guard") else "",
    ]
    parts.append(tag("p", together(told), class_="quiet"))
    arms = sorted(
        trace.get("arms") or (),
        key=lambda each: (each.get("name") != trace.get("arm"), -(each.get("utility") or -1e9)),
    )
    rows = [
        (
            ("\u25b8 " if each.get("name") == trace.get("arm") else "") + str(each.get("name")),
            _share_of(each),
            number(each.get("cost_usd"), _usd(each.get("cost_usd"))),
            number(each.get("bound_usd"), _usd(each.get("bound_usd"))),
            number(each.get("utility"), f"{each.get('utility') or 0.0:.5f}"),
            str(each.get("why") or ""),
        )
        for each in arms[:_ARMS]
    ]
    if rows:
        parts.append(table(("arm", "quality", "cost", "at most", "utility", "why"), rows, long=(5,)))
    if len(arms) > _ARMS:
        parts.append(tag("p", f"{len(arms) - _ARMS:,} more arms", class_="quiet"))
    return parts


def _usd(amount: float | None) -> str:
    return UNKNOWN if amount is None else money(nano_from_usd(amount))


def _share_of(arm: Mapping[str, Any]) -> Cell:
    quality, low, high = (arm.get(key) for key in ("quality", "quality_low", "quality_high"))
    if quality is None:
        return number(None, "")
    bounds = "" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
    return Cell(f"{share(quality)}{bounds}", quality)


def _guards(entry: Entry) -> list[Markup]:
    found = (entry.decision or {}).get("guards") or ()
    rows = [(str(each.get("guard")), str(each.get("outcome")), str(each.get("why") or "")) for each in found]
    return [tag("h3", "Guards"), table(("guard", "outcome", "why"), rows, long=(2,))] if rows else []


def _steps(entry: Entry) -> list[Markup]:
    if len(entry.steps) < 2 and not any(each["verdicts"] for each in entry.steps):
        return []
    rows = [
        (
            Cell(str(each["seq"]), each["seq"]), Cell(str(each["stage"]), each["stage"]), each["kind"], each["arm"],
            each["outcome"], Cell(money(each["charged_nano"]), each["charged_nano"]),
            "; ".join(f"{verdict['check']}: {verdict['outcome']}" for verdict in each["verdicts"]) or "-",
            "yes" if each["taken"] else "",
        )
        for each in entry.steps
    ]  # fmt: skip
    titles = ("step", "stage", "call", "arm", "outcome", "charged", "verdicts", "taken")
    return [tag("h3", "Steps"), table(titles, rows, long=(6,))]


def _attempts(entry: Entry) -> list[Markup]:
    if not entry.attempts:
        return []
    rows = [
        (
            Cell(str(each["id"]), each["id"]), each["kind"], each["arm"], each["served_model"] or UNKNOWN,
            number(each["input_tokens"], count(each["input_tokens"])),
            number(each["output_tokens"], count(each["output_tokens"])),
            Cell(money(each["charged_nano"]), each["charged_nano"]),
            each["status"] + (" BREACH" if each["breach"] else ""),
            number(each["latency_s"], f"{each['latency_s'] or 0.0:.2f}"),
            each["error_kind"] or each["finish_reason"] or "-",
        )
        for each in entry.attempts
    ]  # fmt: skip
    titles = ("call", "kind", "arm", "served", "in", "out", "charged", "status", "seconds", "ended")
    return [tag("h3", "Calls"), table(titles, rows)]


def _labels(entry: Entry) -> list[Markup]:
    rows = [
        (f"{each['reward']:g}", each["arm"], each["source"], each["note"] or "", each["at"][:16].replace("T", " "))
        for each in entry.labels
    ]
    return [tag("h3", "Labels"), table(("worth", "arm", "by", "note", "when"), rows, long=(3,))] if rows else []

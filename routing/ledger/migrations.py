"""The ledger's schema, as numbered migrations that are only ever appended to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tools import database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

__all__ = ["MIGRATIONS", "SCHEMA_VERSION", "migrate"]


def _m1_ledger(conn: sqlite3.Connection) -> None:
    """Make requests (what was asked, and why an arm was chosen), attempts, reservations (the money) and labels."""
    db = database(conn)
    db.table("meta").create({"key": str, "value": str}, pk="key", not_null={"value"})
    db.table("prices").create(
        {
            "id": int,
            "sha256": str,  # of `json`
            "model": str,
            "table_version": str,  # which edition of the price table, e.g. "litellm 1.109.1"
            "table_sha256": str,
            "json": str,
            "first_seen_at": str,
        },
        pk="id",
        not_null={"sha256", "model", "json", "first_seen_at"},
    )
    db.table("prices").create_index(["sha256", "table_sha256"], unique=True)
    db.table("requests").create(
        {
            "n": int,  # an INTEGER PRIMARY KEY: VACUUM would renumber any other rowid under the full-text index
            "id": str,
            "created_at": str,
            "command": str,
            "profile": str,
            "conversation_id": str,
            "redo_of": str,
            "system": str,
            "prompt": str,
            "answer": str,
            "attachments": str,  # JSON: name, media_type, n_bytes, sha256
            "schema": str,
            "messages": str,  # JSON: what was sent, when it is more than system and prompt
            "embedding": bytes,  # little-endian float32
            "surface": str,  # JSON list
            "embedder_id": str,
            "router_version": str,
            "decision": str,  # JSON: the whole trace
            "arm": str,  # the arm that answered, or was chosen
            "propensity": float,
            "status": str,  # pending | ok | failed | interrupted
            "error": str,
            "tag": str,
        },
        pk="n",
        not_null={"id", "created_at", "command", "profile", "status"},
    )
    db.table("requests").create_index(["id"], unique=True)
    db.table("requests").create_index(["created_at"])
    db.table("requests").create_index(["conversation_id", "created_at"])
    db.table("requests").enable_fts(["prompt", "answer"], create_triggers=True)
    db.table("reservations").create(
        {
            "id": int,
            "request_id": str,
            "run_id": str,
            "profile": str,
            "arm": str,
            "source": str,  # ask | redo | probe | batch ...
            "tag": str,
            "at": str,
            "day": str,
            "month": str,
            "status": str,  # reserved | settled | unverified | unknown | released
            "reserved_nano": int,
            "charged_nano": int,  # what counts against caps now
            "price_id": int,
            "breach": int,
            "cap_override_nano": int,
            "pid": int,
            "process_started": str,
            "boot_id": str,
            "settled_at": str,
            "note": str,
        },
        pk="id",
        not_null={"request_id", "profile", "arm", "at", "day", "month", "status", "reserved_nano", "charged_nano"},
        defaults={"breach": 0},
    )
    conn.execute("CREATE INDEX idx_reservations_open ON reservations(status) WHERE status IN ('reserved', 'unknown')")
    db.table("reservations").create_index(["at"])
    db.table("reservations").create_index(["request_id"])
    db.table("attempts").create(
        {
            "id": int,  # the reservation's
            "request_id": str,
            "seq": int,
            "kind": str,  # first | retry | fallback
            "arm": str,
            "requested_model": str,
            "served_model": str,
            "started_at": str,
            "input_bound": int,
            "output_limit": int,
            "input_tokens": int,
            "cached_tokens": int,
            "cache_write_tokens": int,
            "output_tokens": int,
            "reasoning_tokens": int,
            "usage_status": str,  # reported | missing | implausible
            "usage": str,  # JSON: as the provider sent it
            "cost_nano": int,
            "latency_s": float,
            "ttft_s": float,
            "finish_reason": str,
            "error_kind": str,
            "error": str,
        },
        pk="id",
        not_null={"request_id", "seq", "kind", "arm"},
    )
    db.table("attempts").create_index(["request_id"])
    # Running sums per window, kept in the transaction that changes a reservation: a cap is checked in one look-up.
    conn.execute(
        "CREATE TABLE balances (key TEXT PRIMARY KEY, live_nano INTEGER NOT NULL, fixed_nano INTEGER NOT NULL) "
        "WITHOUT ROWID"
    )
    db.table("shared_caps").create(
        {"scope": str, "limit_nano": int, "set_at": str}, pk="scope", not_null={"limit_nano"}
    )
    db.table("suspensions").create(
        {"profile": str, "arm": str, "at": str, "reason": str}, pk=("profile", "arm"), not_null={"at", "reason"}
    )
    db.table("alerts").create({"key": str, "percent": int, "at": str}, pk=("key", "percent"))
    db.table("labels").create(
        {
            "id": int,
            "request_id": str,
            "arm": str,
            "reward": float,  # 0..1
            "source": str,  # rating | redo | check | audit | import | probe
            "weight": float,
            "note": str,
            "at": str,
        },
        pk="id",
        not_null={"request_id", "arm", "reward", "source", "at"},
        defaults={"weight": 1.0},
    )
    db.table("labels").create_index(["request_id"])
    # Costs of answers that were given elsewhere (`learn import`): outcomes, no money of ours.
    conn.execute(
        "CREATE TABLE outcomes (request_id TEXT NOT NULL, arm TEXT NOT NULL, model TEXT NOT NULL, "
        "input_tokens INTEGER, output_tokens INTEGER, cost_nano INTEGER, PRIMARY KEY (request_id, arm)) WITHOUT ROWID"
    )
    db.table("audits").create(
        {
            "id": int,
            "at": str,
            "profile": str,
            "arm": str,  # asked again
            "first_n": int,  # the requests drawn from, by `requests.n`
            "last_n": int,
            "n_pool": int,
            "n_sampled": int,
        },
        pk="id",
        not_null={"at", "profile", "arm", "first_n", "last_n", "n_pool", "n_sampled"},
    )
    db.table("refits").create(
        {
            "id": int,
            "at": str,
            "profile": str,
            "verdict": str,  # promoted | refused | no-change
            "version": str,
            "tested": int,  # 1 where error was spent
            "alpha": float,
            "last_label": int,
            "forced": int,
            "data": str,  # JSON: what `refit --json` printed
        },
        pk="id",
        not_null={"at", "profile", "verdict", "tested", "forced"},
    )
    db.table("steps").create(
        {
            "id": int,
            "request_id": str,
            "seq": int,
            "stage": int,  # of the plan, from 1
            "kind": str,  # ask | sample | judge
            "arm": str,
            "outcome": str,  # answered | failed | refused
            "verdicts": str,  # JSON list: check, kind, outcome, score, evidence, cost_usd
            "answer": str,
            "charged_nano": int,
            "latency_s": float,
            "taken": int,  # 1: the answer that was given
            "note": str,
            "at": str,
        },
        pk="id",
        not_null={"request_id", "seq", "stage", "kind", "arm", "outcome", "charged_nano", "at"},
        defaults={"taken": 0},
    )
    db.table("steps").create_index(["request_id"])
    db.table("batch_runs").create(
        {
            "id": str,
            "created_at": str,
            "finished_at": str,
            "status": str,  # running | stopped | finished | cancelled
            "profile": str,
            "input": str,
            "input_sha256": str,
            "output": str,
            "n_rows": int,
            "options": str,  # JSON: what `--resume` goes on with
        },
        pk="id",
        not_null={"created_at", "status", "profile", "input", "input_sha256", "output", "n_rows", "options"},
    )
    # A row that is not here has not been sent. `offset` and `length` say where the journal holds its result.
    conn.execute(
        "CREATE TABLE batch_rows (run_id TEXT NOT NULL, n INTEGER NOT NULL, status TEXT NOT NULL, request_id TEXT, "
        "arm TEXT, cost_nano INTEGER, same BLOB, offset INTEGER, length INTEGER, PRIMARY KEY (run_id, n)) WITHOUT ROWID"
    )
    conn.execute("CREATE INDEX idx_batch_rows_same ON batch_rows(run_id, same) WHERE same IS NOT NULL")


def _m2_sent_and_resumed(conn: sqlite3.Connection) -> None:
    """Whether a reserved call has left; how far a batch's journal is in the ledger; one row for each step."""
    conn.execute("ALTER TABLE reservations ADD COLUMN sent INTEGER NOT NULL DEFAULT 1")
    conn.execute("ALTER TABLE batch_runs ADD COLUMN applied INTEGER NOT NULL DEFAULT 0")
    conn.execute(
        "UPDATE batch_runs SET applied = coalesce("
        "(SELECT max(offset + length) FROM batch_rows r WHERE r.run_id = batch_runs.id), 0)"
    )
    conn.execute("DELETE FROM steps WHERE id NOT IN (SELECT max(id) FROM steps GROUP BY request_id, seq)")
    conn.execute("CREATE UNIQUE INDEX idx_steps_request_id_seq ON steps(request_id, seq)")
    conn.execute("DROP INDEX IF EXISTS idx_steps_request_id")
    # The kind of a label's check: some can tell right from wrong, others look at form.
    conn.execute("ALTER TABLE labels ADD COLUMN check_kind TEXT")


_AMOUNTS = (
    ("reservations", "reserved_nano"),
    ("reservations", "charged_nano"),
    ("shared_caps", "limit_nano"),
    ("attempts", "cost_nano"),
    ("batch_rows", "cost_nano"),
    ("steps", "charged_nano"),
    ("outcomes", "cost_nano"),
)
"""Where amounts of money stand, in nano-USD. A column that must have one says so itself."""


def _m3_holders_corrections_and_guards(conn: sqlite3.Connection) -> None:
    """Where a holder runs; what a provider calls a reply; what was corrected by hand; no amount that cannot be."""
    conn.execute("ALTER TABLE reservations ADD COLUMN host TEXT")
    conn.execute("ALTER TABLE reservations ADD COLUMN pid_namespace TEXT")
    conn.execute("ALTER TABLE attempts ADD COLUMN reply_id TEXT")  # as the reply's body says
    conn.execute("ALTER TABLE attempts ADD COLUMN trace_id TEXT")  # as its headers say
    conn.execute("ALTER TABLE suspensions ADD COLUMN calls TEXT NOT NULL DEFAULT ''")  # what it is for: their numbers
    conn.execute("UPDATE suspensions SET calls = CAST(substr(reason, 6) AS INTEGER) WHERE reason LIKE 'call %'")
    conn.execute(
        "CREATE TABLE corrections (id INTEGER PRIMARY KEY, change_id TEXT NOT NULL, at TEXT NOT NULL, "
        "call INTEGER NOT NULL, was_status TEXT NOT NULL, was_charged_nano INTEGER NOT NULL, was_cost_nano INTEGER, "
        "was_breach INTEGER NOT NULL, was_stopping INTEGER NOT NULL, was_settled_at TEXT, was_note TEXT, "
        "now_nano INTEGER NOT NULL, undone_at TEXT)"
    )
    conn.execute("CREATE INDEX idx_corrections_call ON corrections(call)")
    for table, column in _AMOUNTS:
        for event in ("INSERT", f"UPDATE OF {column}"):
            conn.execute(
                f"CREATE TRIGGER {table}_{column}_{event[:6].lower()} BEFORE {event} ON {table} "
                f"WHEN NEW.{column} IS NOT NULL AND NOT "
                f"(typeof(NEW.{column}) = 'integer' AND NEW.{column} BETWEEN 0 AND 1000000000000000000) "
                f"BEGIN SELECT RAISE(ABORT, 'no such amount: {table}.{column}'); END"
            )


def _m4_instructions_hints_and_duels(conn: sqlite3.Connection) -> None:
    """Add which instructions an arm had, what a step was asked, the hint in front of a prompt, and duels."""
    conn.execute("ALTER TABLE attempts ADD COLUMN instructions TEXT")  # a digest of them; NULL: none
    conn.execute("ALTER TABLE steps ADD COLUMN asked TEXT")  # the text of a prompt of its own; NULL: the request's
    conn.execute("ALTER TABLE steps ADD COLUMN asked_sha256 TEXT")
    conn.execute(  # few steps are of these kinds, and each choice of a plan asks for them
        "CREATE INDEX idx_steps_made ON steps(request_id) WHERE kind IN ('merge', 'lead', 'bid', 'drop')"
    )
    conn.execute("ALTER TABLE requests ADD COLUMN hint TEXT")  # the nearest one's id, put in front or not
    conn.execute("ALTER TABLE requests ADD COLUMN hinted INTEGER")  # 1 where it was; NULL: there was none to draw for
    conn.execute("ALTER TABLE requests ADD COLUMN hint_propensity REAL")  # of what was drawn; NULL: it was no draw
    conn.execute("ALTER TABLE requests ADD COLUMN hint_similarity REAL")  # cosine of the prompt and the hint
    conn.execute(
        "CREATE TABLE duels (id TEXT PRIMARY KEY, at TEXT NOT NULL, profile TEXT NOT NULL, "
        "left_request TEXT NOT NULL, right_request TEXT NOT NULL, left_arm TEXT NOT NULL, right_arm TEXT NOT NULL, "
        "verdict TEXT, why TEXT, propensity REAL, "  # verdict: left | right | tie | neither; NULL: not told
        "chances TEXT, prompt_key TEXT, "  # JSON: each arm's chance to be seen; a digest of what was asked
        "left_model TEXT, right_model TEXT, left_instructions TEXT, right_instructions TEXT)"  # what the arms were then
    )


def _m5_files_and_conversations(conn: sqlite3.Connection) -> None:
    """Add the files that went with a prompt, how much of them was read, and what is kept of conversations."""
    conn.execute("ALTER TABLE requests ADD COLUMN sources TEXT")  # JSON: name, sha256, n_chars and path of each file
    conn.execute("ALTER TABLE requests ADD COLUMN readings TEXT")  # JSON: what was on offer, offsets of the passages
    conn.execute("ALTER TABLE requests ADD COLUMN memory TEXT")  # JSON: how much of the conversation was sent
    conn.execute("CREATE INDEX idx_requests_sources ON requests(id) WHERE sources IS NOT NULL")  # who reads a document
    # The text of a file, once for all requests that read it.
    conn.execute(
        "CREATE TABLE documents (sha256 TEXT PRIMARY KEY, at TEXT NOT NULL, n_chars INTEGER NOT NULL, "
        "packed BLOB NOT NULL)"  # zlib of UTF-8
    )
    conn.execute("CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT UNIQUE, at TEXT NOT NULL)")
    # A conversation until one of its requests (that one included) in few words.
    conn.execute(
        "CREATE TABLE summaries (conversation_id TEXT NOT NULL, upto TEXT NOT NULL, at TEXT NOT NULL, "
        "text TEXT NOT NULL, n_tokens INTEGER NOT NULL, request_id TEXT, PRIMARY KEY (conversation_id, upto))"
    )


def _m6_what_was_expected(conn: sqlite3.Connection) -> None:
    """Add what was expected of a call's length and time, to be held against what came."""
    conn.execute("ALTER TABLE attempts ADD COLUMN expected_output INTEGER")  # the median, in tokens
    conn.execute("ALTER TABLE attempts ADD COLUMN expected_output_p90 INTEGER")
    conn.execute("ALTER TABLE attempts ADD COLUMN prompt_output REAL")  # the same, of a middling model: by the prompt
    conn.execute("ALTER TABLE attempts ADD COLUMN expected_s REAL")  # the median, in seconds to the end
    conn.execute("ALTER TABLE attempts ADD COLUMN expected_s_p90 REAL")
    conn.execute("CREATE INDEX idx_steps_asked ON steps(asked_sha256) WHERE asked_sha256 IS NOT NULL")
    conn.execute("CREATE INDEX idx_attempts_past ON attempts(arm) WHERE output_tokens IS NOT NULL")
    conn.execute("CREATE INDEX idx_attempts_late ON attempts(arm) WHERE error_kind = 'timeout'")


def _m7_many_rows(conn: sqlite3.Connection) -> None:
    """Add who holds a reservation besides a process: a batch of a provider's, by the name that it is found by."""
    conn.execute("ALTER TABLE reservations ADD COLUMN holder TEXT")  # NULL: the process in `pid`
    _many_requests(conn)
    _limits_together(conn)
    _half_price(conn)


def _many_requests(conn: sqlite3.Connection) -> None:
    """Keep what a log of a million requests is asked for, so that no command reads all of it.

    What is large stays as it is: traces and features are packed from here on, and read in both shapes.
    """
    # Only where a text changes is the full-text index written.
    conn.execute("DROP TRIGGER requests_au")
    conn.execute(
        "CREATE TRIGGER requests_au AFTER UPDATE OF prompt, answer ON requests BEGIN "
        "INSERT INTO requests_fts (requests_fts, rowid, prompt, answer) "
        "VALUES ('delete', old.rowid, old.prompt, old.answer); "
        "INSERT INTO requests_fts (rowid, prompt, answer) VALUES (new.rowid, new.prompt, new.answer); END"
    )
    conn.execute("ALTER TABLE requests ADD COLUMN n_stages INTEGER")  # of the plan in the trace; NULL: there is none
    conn.execute(
        "UPDATE requests SET n_stages = json_array_length(decision, '$.plan.stages') "
        """WHERE decision LIKE '%"plan": {%' AND json_valid(decision)"""
    )
    conn.execute("CREATE INDEX idx_requests_planned ON requests(profile) WHERE n_stages IS NOT NULL")
    # Calls whose true cost is not known are few, and asked for by every command about money.
    conn.execute("DROP INDEX idx_reservations_open")
    conn.execute(
        "CREATE INDEX idx_reservations_open ON reservations(status) "
        "WHERE status IN ('reserved', 'unknown', 'unverified')"
    )
    _sums_by_day(conn)
    # Sums of 2,000 requests or calls in a row (`digests`), dropped by whatever changes one of them.
    conn.execute(
        "CREATE TABLE digests (kind TEXT NOT NULL, block INTEGER NOT NULL, first_at TEXT NOT NULL, "
        "last_at TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (kind, block)) WITHOUT ROWID"
    )
    drop = "DELETE FROM digests WHERE kind = '{0}' AND block = {1} / 2000"
    by_request = drop.format("requests", "(SELECT n FROM requests WHERE id = {0}.request_id)")
    both = [by_request.format("NEW"), drop.format("calls", "NEW.id")]
    # The end of a call in flight drops nothing: as long as there is one, there are no sums of its block.
    for name, event, when, statements in (
        ("requests", "UPDATE OF status, arm, profile", "1", [drop.format("requests", "NEW.n")]),
        ("requests", "DELETE", "1", [drop.format("requests", "OLD.n")]),
        ("reservations", "UPDATE OF charged_nano", "OLD.status <> 'reserved'", both),
        ("attempts", "UPDATE OF latency_s, input_tokens, output_tokens, error_kind",
         "coalesce(OLD.latency_s, OLD.input_tokens, OLD.output_tokens, OLD.error_kind) IS NOT NULL", both),
        ("labels", "INSERT", "1", [by_request.format("NEW")]),
        ("labels", "UPDATE", "1", [by_request.format("NEW")]),
        ("labels", "DELETE", "1", [by_request.format("OLD")]),
        ("steps", "INSERT", "1", [by_request.format("NEW")]),
        ("steps", "UPDATE", "1", [by_request.format("NEW")]),
        ("steps", "DELETE", "1", [by_request.format("OLD")]),
    ):  # fmt: skip
        conn.execute(
            f"CREATE TRIGGER digests_{name}_{event[:6].lower()} AFTER {event} ON {name} WHEN {when} "
            f"BEGIN {'; '.join(statements)}; END"
        )
    conn.execute("CREATE INDEX idx_batch_rows_request_same ON batch_rows(request_id) WHERE same IS NOT NULL")
    conn.execute(
        "CREATE INDEX idx_labels_truth ON labels(source) WHERE source IN ('rating', 'import', 'probe', 'audit')"
    )
    conn.execute("CREATE INDEX idx_requests_redo ON requests(redo_of) WHERE redo_of IS NOT NULL")
    conn.execute("CREATE INDEX idx_requests_asked ON requests(created_at) WHERE command = 'ask'")
    conn.execute("CREATE INDEX idx_requests_hinted ON requests(profile) WHERE hint_propensity IS NOT NULL")


def _sums_by_day(conn: sqlite3.Connection) -> None:
    """Add sums of the calls of a day, by whom and what for, kept by the statements that change a call."""
    parts = {
        "settled_nano": "CASE WHEN {0}.status IN ('settled', 'released') THEN {0}.charged_nano ELSE 0 END",
        "unverified_nano": "CASE WHEN {0}.status = 'unverified' THEN {0}.charged_nano ELSE 0 END",
        "reserved_nano": "CASE WHEN {0}.status = 'reserved' THEN {0}.charged_nano ELSE 0 END",
        "unknown_nano": "CASE WHEN {0}.status = 'unknown' THEN {0}.charged_nano ELSE 0 END",
        "charged_nano": "{0}.charged_nano",
        "n_breaches": "{0}.breach",
    }
    told = {
        "n_input": "({0}.input_tokens IS NOT NULL)",
        "input_tokens": "coalesce({0}.input_tokens, 0)",
        "n_output": "({0}.output_tokens IS NOT NULL)",
        "output_tokens": "coalesce({0}.output_tokens, 0)",
    }
    key = "day, profile, arm, source, tag"
    of = "{0}.day, {0}.profile, {0}.arm, coalesce({0}.source, '-'), coalesce({0}.tag, '-')"
    numbers = ", ".join(f"{name} INTEGER NOT NULL" for name in ("n_calls", *parts, *told))
    conn.execute(
        "CREATE TABLE spent (day TEXT NOT NULL, profile TEXT NOT NULL, arm TEXT NOT NULL, source TEXT NOT NULL, "
        f"tag TEXT NOT NULL, {numbers}, PRIMARY KEY ({key})) WITHOUT ROWID"
    )
    sums = ", ".join(f"sum({text.format('r')})" for text in parts.values())
    sums_told = ", ".join(f"sum({text.format('a')})" for text in told.values())
    conn.execute(
        f"INSERT INTO spent SELECT {of.format('r')}, count(*), {sums}, {sums_told} "  # noqa: S608 - constants
        "FROM reservations r LEFT JOIN attempts a ON a.id = r.id GROUP BY 1, 2, 3, 4, 5"
    )
    first = ", ".join(text.format("NEW") for text in parts.values())
    more = ", ".join(f"{name} = {name} + excluded.{name}" for name in ("n_calls", *parts))
    conn.execute(
        "CREATE TRIGGER spent_reserved AFTER INSERT ON reservations BEGIN "  # noqa: S608 - constants
        f"INSERT INTO spent ({key}, n_calls, {', '.join(parts)}, {', '.join(told)}) "
        f"VALUES ({of.format('NEW')}, 1, {first}, 0, 0, 0, 0) ON CONFLICT ({key}) DO UPDATE SET {more}; END"
    )
    moved = ", ".join(f"{name} = {name} + {text.format('NEW')} - {text.format('OLD')}" for name, text in parts.items())
    conn.execute(
        "CREATE TRIGGER spent_settled AFTER UPDATE OF status, charged_nano, breach ON reservations BEGIN "  # noqa: S608 - constants
        f"UPDATE spent SET {moved} WHERE ({key}) = ({of.format('NEW')}); END"
    )
    whose = f"WHERE ({key}) = (SELECT {of.format('r')} FROM reservations r WHERE r.id = NEW.id)"  # noqa: S608 - constants
    for event, name, old in (("INSERT", "begun", False), ("UPDATE OF input_tokens, output_tokens", "told", True)):
        less = " - {1}" if old else ""
        changes = ", ".join(
            ("{0} = {0} + {2}" + less).format(column, text.format("OLD"), text.format("NEW"))
            for column, text in told.items()
        )
        known = "NEW.input_tokens IS NOT NULL OR NEW.output_tokens IS NOT NULL"
        changed = "NEW.input_tokens IS NOT OLD.input_tokens OR NEW.output_tokens IS NOT OLD.output_tokens"
        conn.execute(
            f"CREATE TRIGGER spent_{name} AFTER {event} ON attempts WHEN {changed if old else known} "  # noqa: S608 - constants
            f"BEGIN UPDATE spent SET {changes} {whose}; END"
        )


def _limits_together(conn: sqlite3.Connection) -> None:
    """Add limits that all processes keep together: places for calls in flight, and what was let through lately."""
    conn.execute(
        "CREATE TABLE places (id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, held INTEGER NOT NULL, "
        "wanted INTEGER NOT NULL, urgent INTEGER NOT NULL, until REAL NOT NULL, pid INTEGER NOT NULL, "
        "process_started TEXT, boot_id TEXT, host TEXT, pid_namespace TEXT)"
    )
    conn.execute("CREATE INDEX idx_places_account ON places(account)")
    conn.execute(
        "CREATE TABLE takes (id INTEGER PRIMARY KEY, account TEXT NOT NULL, requests INTEGER NOT NULL, "
        "tokens INTEGER NOT NULL, requests_ahead REAL NOT NULL, tokens_ahead REAL NOT NULL, usable_s REAL NOT NULL, "
        "wall REAL NOT NULL, steady REAL NOT NULL, boot_id TEXT)"  # times: POSIX, and of the boot's steady clock
    )
    conn.execute("CREATE INDEX idx_takes_account ON takes(account, id)")
    _events_and_exports(conn)


def _events_and_exports(conn: sqlite3.Connection) -> None:
    """Add what is to be told (`alerts`), and the calls that are to be exported (`otel`), noted as they happen."""
    conn.execute(
        "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, "
        "percent INTEGER NOT NULL DEFAULT 0, at TEXT NOT NULL, profile TEXT NOT NULL, "
        "kind TEXT NOT NULL, subject TEXT NOT NULL, data TEXT, "  # kind: cap | breach | unknown | batch | refit
        "state TEXT NOT NULL DEFAULT 'new', "  # new | delivered | given up | kept (nobody asked for it)
        "tries INTEGER NOT NULL DEFAULT 0, claimed REAL NOT NULL DEFAULT 0, error TEXT, UNIQUE (key, percent))"
    )
    conn.execute("CREATE INDEX idx_events_new ON events(profile) WHERE state = 'new'")
    conn.execute(
        "INSERT INTO events (key, percent, at, profile, kind, subject, state) "
        "SELECT key, percent, at, '', 'cap', key, 'kept' FROM alerts"
    )
    conn.execute("DROP TABLE alerts")
    now = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
    into = "INSERT OR IGNORE INTO events (key, at, profile, kind, subject) VALUES"
    for kind, when in (("breach", "NEW.breach = 1 AND OLD.breach = 0"), ("unknown", "NEW.status = 'unknown'")):
        conn.execute(
            f"CREATE TRIGGER events_{kind} AFTER UPDATE OF status ON reservations WHEN {when} "
            f"BEGIN {into} ('{kind} ' || NEW.id, {now}, NEW.profile, '{kind}', NEW.id); END"
        )
    conn.execute(
        "CREATE TRIGGER events_batch AFTER UPDATE OF status ON batch_runs "
        "WHEN NEW.status IN ('finished', 'stopped') AND OLD.status <> NEW.status "
        f"BEGIN {into} ('batch ' || NEW.id || ' ' || NEW.finished_at, {now}, NEW.profile, 'batch', NEW.id); END"
    )
    conn.execute(
        "CREATE TRIGGER events_refit AFTER INSERT ON refits WHEN NEW.verdict = 'promoted' "
        f"BEGIN {into} ('refit ' || NEW.id, {now}, NEW.profile, 'refit', NEW.id); END"
    )
    # Of profiles that ask for it (`exports.ask_for`): the calls that are over and not exported yet.
    conn.execute("CREATE TABLE unexported (call INTEGER PRIMARY KEY, request_id TEXT NOT NULL, profile TEXT NOT NULL)")
    conn.execute(
        "CREATE TRIGGER unexported_call AFTER UPDATE OF status ON reservations WHEN OLD.status = 'reserved' "
        "AND NEW.status <> 'reserved' AND EXISTS (SELECT 1 FROM meta WHERE key = 'export:' || NEW.profile) "
        "BEGIN INSERT OR IGNORE INTO unexported VALUES (NEW.id, NEW.request_id, NEW.profile); END"
    )


def _half_price(conn: sqlite3.Connection) -> None:
    """Add what was handed over to providers' Batch APIs, on record before it leaves."""
    conn.execute("ALTER TABLE attempts ADD COLUMN lane TEXT")  # batch; NULL: asked at once
    conn.execute(
        "CREATE TABLE provider_batches (id TEXT PRIMARY KEY, run_id TEXT NOT NULL, arm TEXT NOT NULL, "
        "api TEXT NOT NULL, url TEXT NOT NULL, provider_id TEXT, "  # id: our name for it; provider_id: NULL until known
        "status TEXT NOT NULL, "  # submitting | going | ended | failed | lost
        "word TEXT, n_calls INTEGER NOT NULL, n_done INTEGER, at TEXT NOT NULL, expires_at TEXT, ended_at TEXT)"
    )
    conn.execute("CREATE INDEX idx_provider_batches_run ON provider_batches(run_id)")
    conn.execute(
        "CREATE TABLE provider_batch_calls (reservation_id INTEGER PRIMARY KEY, batch_id TEXT NOT NULL, "
        "custom_id TEXT NOT NULL, decision TEXT)"  # decision: JSON, where the log keeps no row that holds it
    )
    conn.execute("CREATE INDEX idx_provider_batch_calls ON provider_batch_calls(batch_id)")
    conn.execute(
        "CREATE INDEX idx_reservations_held ON reservations(holder) WHERE status = 'reserved' AND holder IS NOT NULL"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _m1_ledger,
    _m2_sent_and_resumed,
    _m3_holders_corrections_and_guards,
    _m4_instructions_hints_and_duels,
    _m5_files_and_conversations,
    _m6_what_was_expected,
    _m7_many_rows,
)
"""Migration n (from 1) takes a ledger from user_version n - 1 to n. Append; never edit one that was released."""

SCHEMA_VERSION = len(MIGRATIONS)


def migrate(conn: sqlite3.Connection) -> int:
    """Bring a ledger to the current schema, each migration in a transaction of its own; return how many ran.

    The caller holds the ledger's lock file, so that a dozen first runs at once do not race.
    """
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    for number in range(version + 1, SCHEMA_VERSION + 1):
        conn.execute("BEGIN IMMEDIATE")
        try:
            MIGRATIONS[number - 1](conn)
            conn.execute(f"PRAGMA user_version = {number:d}")
        except BaseException:
            conn.execute("ROLLBACK")
            raise
        conn.execute("COMMIT")
    return int(SCHEMA_VERSION - version)

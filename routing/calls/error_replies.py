"""What a provider's error reply means: one table from status, body and headers to kind, cost, wait and remedy.

Providers say the same thing in many ways: a bad key comes as 400, 401, 403 or 500, as an object, a list or a web page;
a full account as 400, 402, 403, 412 or 429. So the codes and words in the body go before the status. Only the beginning
of each text is looked at: some go on to quote the prompt.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from .waits import server_time, wait_s

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ErrorReply", "Kind", "Lasting", "read_error", "web_page"]

Kind = Literal[
    "auth",
    "not_found",
    "rate_limited",
    "bad_request",
    "content_filter",
    "context_window",
    "server",
    "timeout",
    "connection",
    "bad_reply",
    "cut",
    "not_sent",
]
"""What went wrong with a call."""

Lasting = Literal["key", "credit", "quota", "model", "address"]
"""What has to change before any call to the arm can succeed: its key, the account's credit, the quota of the day or
month, the model's name, the address."""

_READ_BYTES: Final = 20_000
_TEXT_CHARS: Final = 400
_MAX_SAID: Final = 300
_MAX_DEPTH: Final = 8
_MAX_ITEMS: Final = 50
_CODE_KEYS: Final = frozenset(
    {"", "code", "type", "__type", "status", "reason", "error", "errorcode", "error_code", "errortype", "error_type",
     "quotaid", "name"}
)  # fmt: skip
_MESSAGE_KEYS: Final = ("error", "message", "detail", "error_message", "msg", "error_description", "errors", "title")


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """What an error reply means.

    Attributes
    ----------
    kind
        What went wrong.
    said
        The provider's own words.
    retryable
        Whether the same call may succeed later.
    billable
        `no` when it is certain to cost nothing, else `maybe`.
    wait_s
        How long the provider asks to wait, in seconds; None when it does not.
    lasting
        Why every further call to the arm would fail alike; None where another prompt, or a later moment, may do better.
    """

    kind: Kind
    said: str
    retryable: bool
    billable: Literal["no", "maybe"]
    wait_s: float | None
    lasting: Lasting | None


class _Rule(NamedTuple):
    """One line of the table: it holds where the status fits, and a code or a text of the reply matches.

    Without codes and texts the status alone decides. `statuses` None is any; a status of 0 is an error that came inside
    a reply of 200.
    """

    kind: Kind
    lasting: Lasting | None = None
    statuses: frozenset[int] | None = None
    codes: re.Pattern[str] | None = None
    texts: re.Pattern[str] | None = None
    retryable: bool = False
    billable: Literal["no", "maybe"] = "no"


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


def _code(*names: str) -> re.Pattern[str]:
    """Match a code whole, however it is spelled: insufficient_quota, InsufficientQuota, insufficient-quota."""
    return re.compile("|".join(name.replace("_", "[_ .-]?") for name in names), re.IGNORECASE)


_TOO_LONG: Final = _any(
    r"maximum (context|prompt|input|sequence) length", r"context[ _-]?(window|length|size|limit)",
    r"(prompt|input|request|message)s? (is|are|was) too (long|large)", r"too many (input )?tokens",
    r"input token count", r"input length", r"prompt contains \d+ tokens",
    r"exceeds? the (available context|maximum number of)", r"reduce the (length|number of tokens|size)", r"`inputs`",
    r"token limit exceeded", r"longer than the model",
)  # fmt: skip
_NO_CREDIT: Final = _any(
    r"credit balance", r"(insufficient|not enough) (account |user )?(balance|credits?|funds?|quota)\b",
    r"insufficient .{0,20}balance", r"balance is (too low|insufficient|not enough|negative)",
    r"(no|any|all|out of|exhausted|depleted|remaining|included|requires more) ([a-z]+ ){0,2}credits?\b",
    r"credits? (has|have|are|were) (been )?(exhausted|used|depleted|expired|insufficient)",
    r"key (total |daily |weekly |monthly )?limit exceeded", r"budget has been exceeded",
    r"(spend(ing)?|billing|budget)[ -](hard )?(limit|cap|quota)", r"enable billing",
    r"(check|update|review) (your|the) (plan and )?billing",
    r"billing (is|has|must|needs|to be|account)\b", r"payment (is )?(required|method|overdue|failed)", r"arrear",
    r"account (is |has been |was )?(suspended|overdue|not active|inactive)", r"in good standing", r"余额不足", r"欠费",
)  # fmt: skip
_KEY: Final = r"(api|access|subscription|authentication|authorization|auth|secret|bearer|security)[ _-]?"
_BAD_KEY: Final = _any(
    r"(invalid|incorrect|missing|expired|revoked|wrong|unknown|disabled|malformed|no|an?|your|valid|without|leaked) "
    rf"([\w'-]+ ){{0,2}}?{_KEY}(key|token|credential|header)s? ?(provided|found|supplied|given|\W|$)",
    rf"{_KEY}(key|token)s? ?(\S{{0,40}} )?((is|was|has|been|you|provided) )*"
    r"(not valid|not found|not set|invalid|incorrect|expired|missing|revoked|required|disabled|deactivated|deleted)",
    r"(invalid|missing|expired|incorrect|no) (credentials?|x-api-key|proxy server token)\b", r"^invalid token\b",
    r"token (is |has )?(invalid|expired|revoked|included in the request)",
    r"(not|un|failed to|cannot) ?(be )?authenticate",
    r"authentication (failed|fails|error|required|failure|credentials)", r"no auth credentials",
    r"unregistered callers", r"signature (we calculated|does not match)", r"无效的令牌",
)  # fmt: skip
_DENIED: Final = _any(
    r"unauthori[sz]ed", r"not authorized", r"(permission|access) denied", r"user not found",
    r"do(es)?( not|n.t) have (access|permission)",
)  # fmt: skip
_FILTERED: Final = _any(
    r"content (management |usage )?polic", r"content[ _-]?filter", r"usage polic", r"safety (system|filter|polic)",
    r"(input|prompt|request|message|content) (was|were|is|has been|have been) (flagged|blocked)",
    r"requires moderation", r"flagged (for|by|as)", r"(inappropriate|sensitive|prohibited) content", r"敏感",
)  # fmt: skip
_OF_THE_DAY: Final = _any(
    r"per[ _-]?(day|month|week)\b", r"\b(rpd|tpd)\b", r"\b(daily|monthly|weekly)\b", r"/ ?(day|month)\b",
)  # fmt: skip
_OF_THE_DAY_ID: Final = re.compile(r".*per(day|month).*", re.IGNORECASE)
_NO_MODEL: Final = _any(
    r"model\b.{0,80}\b(not|n.t) exist", r"model\b.{0,60}\bnot found", r"not a valid model",
    r"(invalid|unknown|no such|unsupported) model\b", r"model identifier is invalid",
    r"model\b.{0,60}\b(decommissioned|retired|no longer (available|supported)|has been (deprecated|removed))",
)  # fmt: skip
_RATE: Final = _any(r"rate[ _-]?limit", r"too many requests", r"throttl", r"requests too quickly", r"slow down")

_REFUSING: Final = frozenset({0, 400, 401, 402, 403, 404, 407, 412, 422, 429, 500})
_FILTERING: Final = frozenset({0, 400, 403, 422, 451})
_TOO_LARGE: Final = frozenset({0, 400, 413, 422, 500})
_LIMITING: Final = frozenset({0, 429})
_UNKNOWN: Final = frozenset({0, 400, 422})

_TABLE: Final = (
    # Google says "check your plan and billing details" of every quota: its ids and its text tell which one it was.
    _Rule("auth", "credit", _LIMITING, _code("resource_exhausted"), _any(r"\blimit: 0\b")),
    _Rule("rate_limited", "quota", _LIMITING, _OF_THE_DAY_ID),
    _Rule("rate_limited", "quota", _LIMITING, _code("resource_exhausted"), _any(r"\bper ?(day|month)\b")),
    _Rule("rate_limited", None, _LIMITING, _code("resource_exhausted"), retryable=True),
    # A single request above the limit of a minute never goes through.
    _Rule("context_window", None, frozenset({0, 413, 429}), None, _any("request too large", "reduce your message")),
    _Rule(
        "content_filter", None, _FILTERING,
        _code(r"content_filter\w*", "content_policy_violation", "responsible_ai_policy_violation", "moderation",
              "data_inspection_failed", "prohibited_content", "content_blocked", "invalid_prompt"),
    ),
    _Rule("content_filter", None, _FILTERING, None, _FILTERED),
    _Rule(
        "context_window", None, _TOO_LARGE,
        _code("context_length_exceeded", "string_above_max_length", "request_too_large", "context_window_exceeded",
              "exceed_context_size_error", "tokens_limit_reached"),
    ),
    _Rule("context_window", None, _TOO_LARGE, None, _TOO_LONG),
    _Rule("context_window", None, frozenset({413})),
    _Rule("auth", "credit", frozenset({402})),
    _Rule("rate_limited", "quota", frozenset({0, 400, 403, 429}), None, _any(r"\busage limits?\b")),
    _Rule(
        "auth", "credit", _REFUSING,
        _code("insufficient_(user_)?quota", "insufficient_(account_)?(balance|credits?|funds)", "402",
              "payment_required", "billing_hard_limit_reached", "billing_not_active", "billing_error",
              "exceeded_current_quota_error", "arrearage", "budget_exceeded", "credit_limit_exceeded"),
    ),
    _Rule("auth", "credit", _REFUSING, None, _NO_CREDIT),
    _Rule("rate_limited", "quota", frozenset({0, 403, 429}), None, _OF_THE_DAY),
    _Rule("rate_limited", None, frozenset({425, 429, 498}), retryable=True),
    _Rule(
        "rate_limited", None, frozenset({0, 400, 403}),
        _code(r"(user_)?rate_limit\w*", r"throttling\w*", r"too_many_requests\w*", "429"), retryable=True,
    ),
    _Rule("rate_limited", None, frozenset({0, 403}), None, _RATE, retryable=True),
    _Rule("auth", "key", frozenset({401, 403, 407})),
    _Rule(
        "auth", "key", _REFUSING,
        _code("api_key_(invalid|expired|service_blocked)", "(invalid|missing|no)_(x_)?api_key", "40[13]",
              "invalid_token", r"(invalid_)?authentication_?(error|failed|exception)?", "unauthenticated",
              r"unauthorized\w*", r"(access_)?(token_expired|expired_token)\w*", r"unrecognized_client\w*",
              r"invalid_signature\w*", r"missing_authentication_token\w*", r"access_denied\w*",
              "account_deactivated", "permission_denied"),
    ),
    _Rule("auth", "key", _REFUSING, None, _BAD_KEY),
    _Rule("auth", "key", _REFUSING - {500}, None, _DENIED),
    _Rule("not_found", "model", frozenset({404, 410})),
    _Rule("not_found", "model", _UNKNOWN, _code("model_not_found", "deployment_not_found", "invalid_model", "404")),
    _Rule("not_found", "model", _UNKNOWN, None, _NO_MODEL),
    _Rule("timeout", None, frozenset({408}), retryable=True, billable="maybe"),
    _Rule("bad_request", None, frozenset({409}), retryable=True),
    _Rule("server", None, frozenset({0, 424, 499}), retryable=True, billable="maybe"),
    _Rule("bad_request", None, frozenset(range(300, 500))),
    _Rule("server", retryable=True, billable="maybe"),
)  # fmt: skip
"""The first line that fits holds."""


def read_error(status: int | None, headers: Mapping[str, str], body: bytes, *, now: float) -> ErrorReply:
    """Return what an error reply means.

    Parameters
    ----------
    status
        The HTTP status; None for an error that came inside a reply of 200.
    headers
        By lower-case name.
    body
        As it came; only the first 20,000 bytes are looked at where it is no JSON.
    now
        POSIX time, by the clock of this machine.
    """
    value = _decoded(body)
    codes, texts = _words(value)
    codes += [headers["x-amzn-errortype"].partition(":")[0]] if "x-amzn-errortype" in headers else []
    plain = body[:_READ_BYTES].decode("utf-8", "replace")
    said = (web_page(body) or plain) if value is None else _message(value) or plain[:_MAX_SAID]
    if said == "Provider returned error" and len(texts) > 1:
        said = f"{said}: {texts[-1]}"
    heads = [text[:_TEXT_CHARS] for text in (said, *texts)]
    rule = next(each for each in _TABLE if _fits(each, status or 0, codes, heads))
    waits = rule.kind in ("rate_limited", "server")
    wait = wait_s(headers, value, heads, now=server_time(headers, now)) if waits else None
    lasting, retryable = rule.lasting, rule.retryable
    if lasting == "quota" and wait is not None:
        if any(_OF_THE_DAY_ID.fullmatch(code) for code in codes):
            wait = None  # it is that of the minute, which stands beside the day's
        else:
            lasting, retryable = None, True  # whether that is too long is for the caller to say
    return ErrorReply(rule.kind, said, retryable, rule.billable, wait, lasting)


def _fits(rule: _Rule, status: int, codes: list[str], texts: list[str]) -> bool:
    if rule.statuses is not None and status not in rule.statuses:
        return False
    if rule.codes is not None and not any(rule.codes.fullmatch(code) for code in codes):
        return False
    return rule.texts is None or any(rule.texts.search(text) for text in texts)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _words(value: Any, depth: int = 0) -> tuple[list[str], list[str]]:
    """Return the codes and the texts in an error, wherever they stand in it."""
    codes: list[str] = []
    texts: list[str] = []
    if depth > _MAX_DEPTH:
        return codes, texts
    if isinstance(value, list):
        items = [("", item) for item in value[:_MAX_ITEMS]]
    else:
        items = list(value.items())[:_MAX_ITEMS] if isinstance(value, dict) else []
    for name, item in items:
        key = str(name).lower()
        if isinstance(item, (dict, list)):
            more = _words(item, depth + 1)
        elif key == "raw" and isinstance(item, str) and (inner := _decoded(item.encode())) is not None:
            more = _words(inner, depth + 1)  # what the provider behind a router said, as text
        else:
            text = str(item)
            word = isinstance(item, (str, int)) and " " not in text
            more = [text] if word and key in _CODE_KEYS else [], [text] if isinstance(item, str) and not word else []
        codes += more[0]
        texts += more[1]
    return codes, texts


def _message(value: Any, depth: int = 0) -> str | None:
    """Return the message inside an error object of any provider's shape."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _message(value[0], depth + 1) if value and depth < _MAX_DEPTH else None
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        named = {str(key).lower(): item for key, item in value.items()}
        for key in _MESSAGE_KEYS:
            if named.get(key):
                return _message(named[key], depth + 1)
    return None


def web_page(body: bytes) -> str | None:
    """Return the title of a web page, or None for anything else."""
    text = body[:_READ_BYTES].decode("utf-8", "replace")
    if "<html" not in text.lower():
        return None
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return f"a web page: {title[1]}" if title else "a web page"

"""What error replies mean, in the shapes that providers send them, and how long they ask to wait."""

import email.utils
import json
from types import SimpleNamespace

import pytest

from scrimp.profiles.errors import ExitCode
from scrimp.routing.calls.error_replies import read_error
from scrimp.routing.calls.faults import CallError, to_scrimp_error
from scrimp.routing.calls.waits import LONGEST_S, span_words, wait_s

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


def openai(message, kind=None, code=None):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(message, kind="invalid_request_error"):
    return {"type": "error", "error": {"type": kind, "message": message}}


def google(status, message, **detail):
    return {"error": {"code": 0, "message": message, "status": status, "details": [detail] if detail else []}}


def quota(quota_id, delay="2s"):
    message = "You exceeded your current quota, please check your plan and billing details."
    found = google("RESOURCE_EXHAUSTED", message, violations=[{"quotaId": quota_id, "quotaValue": "20"}])
    found["error"]["details"].append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return found


HTML = b"<html><head><title>401 Authorization Required</title></head><body>nginx</body></html>"
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
TPM = "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000."

KEY = ("auth", "key", ExitCode.AUTH)
CREDIT = ("auth", "credit", ExitCode.AUTH)
QUOTA = ("rate_limited", "quota", ExitCode.TRY_AGAIN)
RATE = ("rate_limited", None, ExitCode.TRY_AGAIN)
LONG = ("context_window", None, ExitCode.PROVIDER)
FILTER = ("content_filter", None, ExitCode.PROVIDER)
MODEL = ("not_found", "model", ExitCode.PROVIDER)
BAD = ("bad_request", None, ExitCode.PROVIDER)
SERVER = ("server", None, ExitCode.PROVIDER)

TABLE = [
    # -- a key that is refused
    (401, openai("Incorrect API key provided: sk-ab***.", "invalid_request_error", "invalid_api_key"), KEY),
    (401, HTML, KEY),
    (401, b"", KEY),
    (401, {"detail": "Unauthorized"}, KEY),
    (403, {"message": "The security token included in the request is invalid."}, KEY),
    (403, HTML.replace(b"401 Authorization Required", b"403 Forbidden"), KEY),
    (403, openai("Project `p` does not have access to model `gpt-5`", None, "model_not_found"), KEY),
    (400, google("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID"), KEY),
    (400, [google("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")], KEY),
    (400, google("INVALID_ARGUMENT", "API key expired. Please renew the API key."), KEY),
    (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***."}, KEY),
    (400, {"__type": "UnrecognizedClientException", "message": "no"}, KEY),
    (400, {"errors": [{"code": 10000, "message": "Authentication error"}]}, KEY),
    (400, anthropic("invalid x-api-key", "authentication_error"), KEY),
    (500, openai("Authentication Error, Invalid proxy server token passed"), KEY),
    (422, {"detail": [{"loc": ["header", "authorization"], "msg": "Missing bearer token"}]}, KEY),
    (None, openai("No auth credentials found", None, 401), KEY),
    (None, "invalid api key", KEY),
    (404, openai("Unknown API key", "authentication_error"), KEY),
    # -- an account that cannot pay
    (402, openai("This request requires more credits, or fewer max_tokens."), CREDIT),
    (402, b"", CREDIT),
    (400, anthropic("Your credit balance is too low to access the Anthropic API."), CREDIT),
    (403, openai("Key limit exceeded (total limit). Manage it in settings", None, 403), CREDIT),
    (403, {"code": "permission-denied", "error": "Your newly created team doesn't have any credits yet."}, CREDIT),
    (403, {"error": {"code": "insufficient_user_quota", "message": "用户额度不足"}}, CREDIT),
    (429, openai("You exceeded your current quota, please check your plan.", "insufficient_quota"), CREDIT),
    (429, openai("Your account is not active, please check your billing details.", "billing_not_active"), CREDIT),
    (429, {"code": "x", "error": "Your team has used all available credits or reached its spending limit."}, CREDIT),
    (429, {"error": {"code": "1113", "message": "您的账户余额不足, 请充值"}}, CREDIT),
    (429, google("RESOURCE_EXHAUSTED", "Quota exceeded for metric: requests, limit: 0, model: gemini-pro"), CREDIT),
    (412, openai("Account is suspended, possibly due to reaching the monthly spending limit"), CREDIT),
    (400, {"code": "Arrearage", "message": "Access denied, make sure your account is in good standing."}, CREDIT),
    (400, openai("Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", "budget_exceeded", "400"), CREDIT),
    (400, google("FAILED_PRECONDITION", "The free tier is not available here. Please enable billing."), CREDIT),
    (None, openai("Insufficient Balance", "unknown_error", "invalid_request_error"), CREDIT),
    # -- the quota of the day or month
    (429, quota(DAY), QUOTA),
    (429, openai("Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 a day"), QUOTA),
    (429, {"message": "Too many tokens per day, please wait before trying again."}, QUOTA),
    (429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}, QUOTA),
    # -- a rate
    (429, quota(MINUTE, "34s"), RATE),
    (429, google("RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."), RATE),
    (429, openai(TPM, "tokens", "rate_limit_exceeded"), RATE),
    (429, openai("Limit reached on requests per day (RPD). Please try again in 7h12m0s.", "requests"), RATE),
    (429, anthropic("This request would exceed your organization's rate limit", "rate_limit_error"), RATE),
    (400, {"__type": "ThrottlingException", "message": "Too many requests"}, RATE),
    (400, anthropic("You have reached your specified API usage limits. You will regain access on 2027-01-16 at 00:00 UTC."), RATE),
    (403, openai("You have triggered a rate limit. Please wait a few minutes"), RATE),
    (429, {"error": {"code": "RateLimitReached", "message": "Rate limit of 50 per 86400s exceeded for UserByModelByDay. "
                     "Please wait 40321 seconds before retrying."}}, RATE),
    (498, openai("Flex tier capacity exceeded"), RATE),
    (None, openai("Provider returned error", None, 429), RATE),
    # -- a prompt that is too long
    (413, openai("Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 9000"), LONG),
    (429, openai("Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 20000."), LONG),
    (413, b"<html><head><title>413 Request Entity Too Large</title></head></html>", LONG),
    (400, {"code": "x", "error": "This model's maximum prompt length is 131072 but the request contains 140000."}, LONG),
    (400, {"message": "Input is too long for requested model."}, LONG),
    (400, anthropic("prompt is too long: 210000 tokens > 200000 maximum"), LONG),
    (400, google("INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens"), LONG),
    (400, openai("Range of input length should be [1, 30720]"), LONG),
    (422, {"error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000"}, LONG),
    (500, {"error": {"code": 500, "message": "the request exceeds the available context size", "type": "x"}}, LONG),
    # -- a filter
    (400, openai("The response was filtered due to the content management policy.", None, "content_filter"), FILTER),
    (403, openai('Your chosen model requires moderation and your input was flagged for "violence"', None, 403), FILTER),
    (400, {"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."}, FILTER),
    (400, anthropic("Output blocked by content filtering policy"), FILTER),
    # -- a model that is not there
    (404, {"error": "model 'x' not found"}, MODEL),
    (400, openai("x/y is not a valid model ID", None, 400), MODEL),
    (400, {"message": "The provided model identifier is invalid."}, MODEL),
    (400, openai("The model `llama2` has been decommissioned and is no longer supported.", None, "x"), MODEL),
    # -- neither of these
    (400, openai("Unsupported value: 'temperature' does not support 0.0."), BAD),
    (400, openai("Invalid schema for response_format: 'token' is a required property"), BAD),
    (422, {"detail": [{"loc": ["body", "max_tokens"], "msg": "extra fields not permitted"}]}, BAD),
    (400, openai("max_tokens is too large: 70000"), BAD),
    (500, openai("The server had an error while processing your request."), SERVER),
    (500, {"error": {"message": "open /models/x.gguf: permission denied"}}, SERVER),
    (529, anthropic("Overloaded", "overloaded_error"), SERVER),
    (524, b"<html><head><title>524: A timeout occurred</title></head></html>", SERVER),
    (499, b"{}", SERVER),
    (503, openai("busy"), SERVER),
]  # fmt: skip

ARM = SimpleNamespace(name="a", model="openai/x", api_base=None, key_env="MY_KEY")


def read(status, body, headers=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_error(status, headers or {}, raw, now=NOW)


def told(found):
    error = CallError(found.kind, found.said, retry_after_s=found.wait_s, lasting=found.lasting)
    return to_scrimp_error(error, ARM)


@pytest.mark.parametrize(("status", "body", "wanted"), TABLE, ids=[str(n) for n in range(len(TABLE))])
def test_what_an_error_reply_means(status, body, wanted):
    kind, lasting, code = wanted
    found = read(status, body)
    assert (found.kind, found.lasting, told(found).exit_code) == (kind, lasting, code), found.said
    assert found.retryable == (wanted in (RATE, SERVER))
    assert found.billable == ("maybe" if wanted == SERVER else "no")


@pytest.mark.parametrize(("status", "body", "wanted"), [row for row in TABLE if row[2] in (KEY, CREDIT, QUOTA)])
def test_the_hint_says_what_has_to_change(status, body, wanted):
    word = {"key": "scrimp keys set MY_KEY", "credit": "add credit", "quota": "quota of the day or month"}
    assert word[wanted[1]] in told(read(status, body)).hint


def test_what_the_provider_quotes_does_not_count():
    """Some errors go on to quote the prompt, which may talk of keys and credit."""
    long = "Unsupported value. " + "x" * 500 + " Incorrect API key provided; your credit balance is too low"
    assert read(400, openai(long)).kind == "bad_request"


def test_the_words_of_the_provider_behind_a_router_count():
    raw = json.dumps(openai("Insufficient quota", "insufficient_quota"))
    body = {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": raw}}}
    found = read(429, body)
    assert (found.kind, found.lasting) == ("auth", "credit")
    assert found.said == "Provider returned error: Insufficient quota"


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"error":' * 5_000,
        b'{"error":' * 900 + b"1" + b"}" * 900,
        b"null",
        b'{"error": {"code": true}}',
    ],
)
def test_junk_is_read_by_its_status(body):
    assert read(400, body).kind == "bad_request"
    assert read(401, body).kind == "auth"


# ---- waits


def http_date(moment):
    return email.utils.formatdate(moment, usegmt=True)


TEXTS = [
    ("Please try again in 7h12m0s.", 25_920.0),
    ("Please try again in 1.2s. Visit https://x.test", 1.2),
    ("Please retry after 20 seconds.", 20.0),
    ("try again in 500ms", 0.5),
    ("Please retry in 34.074824224s.", 34.074824224),
    ("try again in 1m26.4s", 86.4),
    ("Retry after 1 minute and 5 seconds", 65.0),
    ("wait 12 sec before the next request", 12.0),
    ("your quota will reset after 3h", 10_800.0),
    ("try again in 3 days", 259_200.0),
    ("You will regain access on 2027-01-16 at 00:00 UTC.", 57_600.0),
    ("Please try again at 2027-01-15T09:00:00Z", 3_600.0),
    ("try again in 99999999 days", LONGEST_S),
    ("Please try again later.", None),
    ("try again in -5 s", None),
    ("Limit 6000, Used 5900, Requested 200", None),
]

HEADERS = [
    ({"retry-after": "5"}, 5.0),
    ({"retry-after": "2m59.56s"}, 179.56),
    ({"retry-after": "0"}, None),
    ({"retry-after": "-3"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "1e400"}, LONGEST_S),
    ({"retry-after": "999999999"}, LONGEST_S),
    ({"retry-after": str(int(NOW) + 60)}, 60.0),
    ({"retry-after": http_date(NOW + 90)}, 90.0),
    ({"retry-after": http_date(NOW - 90)}, None),
    ({"retry-after": http_date(NOW + 7290), "date": http_date(NOW + 7200)}, 90.0),
    ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    ({"retry-after-ms": "-1", "retry-after": "1"}, 1.0),
    ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
    ({"x-ratelimit-reset-tokens": "1.5s"}, 1.5),
    ({"x-ratelimit-reset": str((int(NOW) + 30) * 1000)}, 30.0),
    ({"x-ratelimit-reset": str(int(NOW) + 30)}, 30.0),
    ({"x-ratelimit-reset": str(int(NOW) - 30)}, None),
    ({"ratelimit-reset": "30"}, 30.0),
    ({"anthropic-ratelimit-tokens-reset": "2027-01-15T08:01:00Z"}, 60.0),
    ({"anthropic-ratelimit-requests-reset": "2030-01-01T00:00:00Z", "retry-after": "3"}, 3.0),
    ({"x-ratelimit-reset-requests": "8h", "x-ratelimit-remaining-requests": "900",
      "x-ratelimit-reset-tokens": "7.5s", "x-ratelimit-remaining-tokens": "0"}, 7.5),
    ({"x-ratelimit-reset-requests": "8h", "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-reset-tokens": "7.5s", "x-ratelimit-remaining-tokens": "12"}, 28_800.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), TEXTS)
def test_a_wait_in_the_text(text, seconds):
    assert wait_s({}, None, [text], now=NOW) == seconds


@pytest.mark.parametrize(("headers", "seconds"), HEADERS)
def test_a_wait_in_the_headers(headers, seconds):
    found = read(429, openai("Rate limit reached"), headers).wait_s
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("body", "seconds"),
    [(quota(MINUTE, "34.5s"), 34.5), ({"error": {"details": [{"retryDelay": {"seconds": "3", "nanos": 5}}]}}, 3.0),
     ({"error": {"resets_in_seconds": 99}}, 99.0), ({"retry_after_ms": 1500}, 1.5), (quota(DAY, "2s"), None)],
)  # fmt: skip
def test_a_wait_in_the_body(body, seconds):
    assert read(429, body).wait_s == seconds


def test_the_longest_of_what_is_asked_for_holds():
    assert read(429, openai("Please try again in 20s."), {"retry-after": "1"}).wait_s == 20.0


def test_a_long_wait_is_told_with_the_time():
    hint = told(read(429, openai("Please try again in 7h12m0s."))).hint
    assert "in 7 h 12 min, after " in hint


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (90, "90 s"), (600, "10 min"), (25_920, "7 h 12 min"), (7_200, "2 h"), (200_000, "2 d 8 h")],
)
def test_spans_in_words_are_rounded_up(seconds, words):
    assert span_words(seconds) == words

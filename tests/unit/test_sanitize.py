import base64
import itertools
import signal
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.text.sanitize import REDACTED, Sanitizer, encodable, sanitize, scrub

KEY = "sk-canary-Zq7_Tn5vX2bLw8Kd"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\ttext\nnext", "plain\ttext\nnext"),
        ("\x1b]0;owned\x07", "␛]0;owned␇"),
        ("\x1b[2J\x1b[31m", "␛[2J␛[31m"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb", "a␍b"),
        ("a\r\nb", "a\nb"),
        ("\x00\x7f\x08", "␀␡␈"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("lone \ud800 half", "lone � half"),
        ("\ud83d\ude00", "😀"),
        ("👩\u200d💻 नमस्\u200dते שלום\u200f", "👩\u200d💻 नमस्\u200dते שלום\u200f"),
    ],
)
def test_what_a_terminal_would_obey_is_made_visible(raw, shown):
    assert sanitize(raw) == shown


text_with_anything = st.text(
    st.characters() | st.sampled_from("\x1b\r\n\x9b\u202e") | st.integers(0xD800, 0xDFFF).map(chr), max_size=60
)


@given(text_with_anything)
def test_nothing_that_controls_a_terminal_survives(text):
    clean = sanitize(text)
    assert not any(ord(c) < 0x20 and c not in "\n\t" for c in clean)
    assert not any(0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) < 0x202F for c in clean)
    clean.encode()
    assert sanitize(clean) == clean


@given(text_with_anything, st.lists(st.integers(0, 60)), st.booleans())
def test_pieces_come_out_as_the_whole(text, cuts, controls):
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    sanitizer = Sanitizer(controls=controls)
    shown = "".join(sanitizer.feed(text[a:b]) for a, b in itertools.pairwise(edges)) + sanitizer.flush()
    assert shown == (sanitize if controls else encodable)(text)


def test_a_pipe_gets_controls_as_they_are():
    assert encodable("\x1b[31m \ud800") == "\x1b[31m �"


@pytest.mark.parametrize(
    "said",
    [
        f"Incorrect API key provided: {KEY}.",
        f"key={urllib.parse.quote(KEY + '/+', safe='')}",
        f"Incorrect API key provided: {KEY[:8]}************{KEY[-4:]}",
        f"{KEY[:3]}...{KEY[-4:]}",
        f"{KEY[:6]}…",
        f"{KEY[:14]} (truncated)",
        f"tail {KEY[-9:]}",
        KEY.upper(),
        f"Authorization: Bearer {KEY}",
        base64.b64encode(KEY.encode()).decode(),
        f"doubled {KEY}{KEY}",
        base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.b64encode(f"u:{KEY}".encode()).decode(),
        base64.urlsafe_b64encode(f"{KEY}\xff\xfe".encode("latin1")).decode(),
        KEY.encode().hex(),
        base64.b32encode(f"u:{KEY}".encode()).decode(),
        f"split {KEY[:12]}\n{KEY[12:]}",
    ],
)
def test_a_key_goes_in_every_form(said):
    told = scrub(said, (KEY, KEY + "/+"))
    assert REDACTED in told
    assert not any(KEY.lower()[i : i + 6] in told.lower() for i in range(3, len(KEY) - 5))
    assert KEY[-4:] not in told


@pytest.mark.parametrize(
    "said",
    [
        "Authorization: Bearer abcDEF123",
        "authorization=Basic dXNlcjpwYXNz",
        "https://host/v1?key=AIzaSyA1234567890&alt=sse",
        'got "x-api-key": "qwertyuiop"',
        "you sent sk-proj-aBcDeFgHiJkLmNoPqRsT",
        "ghp_aBcDeF0123456789aBcDeF0123456789", "gho_aBcDeF0123456789aBcDeF0123456789",
        "github_pat_aBcDeF0123456789_aBcDeF", "glpat-aBcDeF0123456789", "AKIAaBcDeF0123456789", "ASIAABCDEF0123456789",
        "xoxb-1234567890-aBcDeF", "npm_aBcDeF0123456789aBcDeF", "sk_live_aBcDeF0123456789", "ya29.aBcDeF0123456789-xyz",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQmNEZUYifQ.aBcDeF-xyz",
        "-----BEGIN OPENSSH PRIVATE KEY-----\naBcDeF0123\nqwertyuiop\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\naBcDeF cut off",
        "DB_PASSWORD=abcDEF123", "password = 'abcDEF123'", '{"client_secret": "abcDEF123"}', "passwd: abcDEF123",
        "AWS_SECRET_ACCESS_KEY=abcDEF123/+", "export MY_TOKEN=abcDEF123", '{\\"api_key\\": \\"abcDEF123\\"}',
        "postgres://user:abcDEF123@host/db", "https://x:abcDEF123@github.com/a/b.git",
        "Authorization: token abcDEF123", "Set-Cookie: session=abcDEF123", "--password abcDEF123",
        "machine h login me password abcDEF123",
    ],
)  # fmt: skip
def test_keys_that_nobody_told_us_of_go_by_their_shape(said):
    told = scrub(said, ())
    assert REDACTED in told
    assert scrub(told, ()) == told
    for secret in ("abcDEF123", "dXNlcjpwYXNz", "AIza", "qwertyuiop", "aBcDeF"):
        assert secret not in told


@pytest.mark.parametrize(
    "said",
    [
        "a plain message", "wait ... and see", "**bold** text", "task-force-of-nine-hundred", "max_tokens=4096 is too much",
        "unexpected token: }", "assert password == given", "the password must be longer",
        "http://127.0.0.1:8000/v1", "the secret: be brief", "see https://host:8080/a@b", "tests, line 3: KeyError: 'token'",
        "sha256 8199be6f2bd5a52e1b7d3f6a0c9d4e8f", "id 01k9xbtz3m8n4p5q6r7s8t9v0w",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(said):
    assert scrub(said, (KEY, None, "abc")) == said


def test_a_letter_that_grows_in_lower_case_moves_nothing():
    assert KEY not in scrub(f"İ{KEY}İ", (KEY,))


@given(st.text(max_size=30), st.text(max_size=30), st.text(st.characters(codec="utf-8"), min_size=4, max_size=40))
def test_a_secret_never_survives_whole(before, after, secret):
    assert secret not in scrub(before + secret + after, (secret,)) or secret in REDACTED


@pytest.mark.parametrize(
    "piece",
    ["a", "x", "password ", "-----BEGIN PRIVATE KEY-----", "eyJ", "x://a", "Authorization: ", "sk-", "token:", "a.b-", "cookie: a-",
     "secret", "password \t", "pass word=  ", "*a", "bearer ", "a://b:", "\\"],
)  # fmt: skip
def test_no_text_takes_long(piece):
    """A search whose steps grow with the square of the length took a minute and a half of the processor's time."""

    def give_up(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20.0)
    try:
        scrub(piece * (20_000 // len(piece)), (KEY, KEY[::-1]))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)

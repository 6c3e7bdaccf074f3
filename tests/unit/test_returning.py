"""Values put back into an answer, whole and in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.guard.private import Returning, Vault, finding
from scrimp.routing.text.private import Redactor

WORDS = ["<EMAIL_1>", "<EMAIL_2>", "<EMAIL_12>", "<email_1>", "&lt;EMAIL_1&gt;", "\\u003cEMAIL_1\\u003e", "<", "<E", "<EMAIL_", "a < b", "&", "&lt;", "\\", "\\u", "x", " ", "<CARD_1>", "<<EMAIL_1>>", "<NAMES_1>", ">"]  # fmt: skip


def vault():
    made = Vault(Redactor())
    made.redacted("ann&co@example.com b@example.com 4111 1111 1111 1111")
    return made


@given(
    st.lists(st.sampled_from(WORDS), max_size=8), st.lists(st.integers(1, 9), min_size=1, max_size=20), st.booleans()
)
def test_pieces_joined_are_the_whole(words, sizes, in_json):
    text = "".join(words)
    pieces = Returning(vault(), in_json=in_json)
    out, at = "", 0
    for size in sizes * len(text):
        if at >= len(text):
            break
        out += pieces.feed(text[at : at + size])
        at += size
    assert out + pieces.flush() == vault().restored(text, in_json=in_json)


@given(st.text(max_size=40))
def test_no_more_is_held_back_than_can_become_a_placeholder(text):
    pieces = Returning(vault())
    out = pieces.feed(text)
    held = pieces.flush()
    assert out + held == vault().restored(text)
    assert len(held) < 24
    assert not held or held[0] in "<&\\"


def test_a_placeholder_is_put_back_as_what_is_around_it_is_spelled():
    made = Vault(Redactor())
    assert (
        made.redacted("-----BEGIN PRIVATE KEY-----\n1\n-----END PRIVATE KEY----- and O'Neil@b.io")
        == "<KEY_1> and <EMAIL_1>"
    )
    assert (
        made.restored('{"a": "<KEY_1>"}', in_json=True)
        == '{"a": "-----BEGIN PRIVATE KEY-----\\n1\\n-----END PRIVATE KEY-----"}'
    )
    assert made.restored('"\\u003cEMAIL_1\\u003e"') == '"O\'Neil@b.io"'
    assert made.restored("&lt;EMAIL_1&gt;") == "O&#x27;Neil@b.io"
    assert made.restored("<EMAIL_2> <email_1>") == "<EMAIL_2> O'Neil@b.io"


def test_numbers_that_stand_there_already_are_not_given_again():
    made = Vault(Redactor())
    text = "<EMAIL_1> is not a@b.io, nor is <EMAIL_3> c@d.io"
    made.redactor.avoid(text)
    assert made.redacted(text) == "<EMAIL_1> is not <EMAIL_2>, nor is <EMAIL_3> <EMAIL_4>"
    assert made.restored(made.redacted(text)) == text
    assert made.unknown("<EMAIL_1> <EMAIL_2>") == ["<EMAIL_1>"]


def test_what_is_found_is_counted_and_not_quoted():
    made = Vault(Redactor())
    made.redacted("a@b.io, c@d.io, a@b.io and 4111 1111 1111 1111")
    for mode in ("warn", "redact", "local", "refuse"):
        said = finding(mode, made)
        assert said.detail["counts"] == {"EMAIL": 2, "CARD": 1}
        assert "2 e-mail addresses" in said.why
        assert "1 card number" in said.why
        assert "a@b.io" not in repr(said)

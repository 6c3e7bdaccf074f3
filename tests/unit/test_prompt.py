"""What is asked: texts, templates, attachments, schemas; and how many tokens that can be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.prompts.prompt import (
    Attachment,
    Prompt,
    Turn,
    check_variables,
    fill_template,
    load_attachment,
    load_schema,
)
from scrimp.routing.prompts.tokens import bound_tokens, estimate_tokens, exact_tokens
from scrimp.routing.text.clean import clean_text

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def test_messages_in_order():
    prompt = Prompt("third", system="be brief", history=(Turn("first", "second"),))
    assert [(m["role"], m["content"]) for m in prompt.messages()] == [
        ("system", "be brief"), ("user", "first"), ("assistant", "second"), ("user", "third"),
    ]  # fmt: skip


def test_attachments_and_schema_imply_capabilities():
    image, pdf = Attachment("a.png", "image/png", PNG), Attachment("b.pdf", "application/pdf", b"%PDF-1")
    prompt = Prompt("?", attachments=(image, pdf), schema={"type": "object"}, needs=frozenset({"tools"}))
    assert prompt.required == {"vision", "pdf", "json", "tools"}
    parts = prompt.messages()[0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "file"]


def test_clean_text_names_the_place():
    assert clean_text(b"\xef\xbb\xbfwith a mark", what="x") == "with a mark"
    assert clean_text("lone \udcff byte", what="x") == "lone ? byte"
    with pytest.raises(UsageError, match=r"notes.txt is not UTF-8: byte 0xff at offset 3 \(line 2\)"):
        clean_text(b"ab\n\xff", what="notes.txt")
    with pytest.raises(UsageError, match=r"NUL character at position 2 \(line 2\)"):
        clean_text("a\n\0", what="x")


def test_templates():
    assert fill_template("{{a}}-{{ b }}-{{a}}", {"a": "1", "b": "{{c}}"}) == "1-{{c}}-1"
    with pytest.raises(UsageError, match="t needs b, c"):
        check_variables({"b", "c", "a"}, {"a": "1"}, what="t")
    with pytest.raises(UsageError, match="t has no variable z"):
        check_variables({"a"}, {"a": "1", "z": "2"}, what="t")


def test_attachments_are_known_by_their_first_bytes(tmp_path):
    (tmp_path / "picture.txt").write_bytes(PNG)
    assert load_attachment(tmp_path / "picture.txt").media_type == "image/png"
    (tmp_path / "w.webp").write_bytes(b"RIFF\0\0\0\0WEBPVP8 ")
    assert load_attachment(tmp_path / "w.webp").is_image
    (tmp_path / "fake.png").write_text("text")
    with pytest.raises(UsageError, match="neither a PNG"):
        load_attachment(tmp_path / "fake.png")
    with pytest.raises(UsageError, match="cannot read"):
        load_attachment(tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"a":', "line 1, column 6: not JSON"),
        ("[1]", "a JSON Schema is an object, not a list"),
        ('{"type": "objekt"}', "not a JSON Schema, at type"),
        ('{"properties": {"a": {"minimum": "x"}}}', "at properties/a/minimum"),
    ],
)
def test_a_schema_that_is_none_is_refused_with_its_place(raw, message):
    with pytest.raises(DataError, match=message):
        load_schema(raw, what="s.json")


@given(st.text(max_size=300), st.text(max_size=100))
def test_the_bound_is_never_below_a_real_tokenisers_count(text, system):
    prompt = Prompt(text, system=system)
    bound = bound_tokens(prompt, "openai/gpt-4o", None)
    exact = exact_tokens(text, "openai/gpt-4o") + exact_tokens(system, "openai/gpt-4o")
    assert bound >= exact + 3 * 2 + 3, "with OpenAI's framing of three tokens a message and three a call"
    assert estimate_tokens(prompt) > 0


def test_exact_counts_come_only_from_public_tokenisers():
    assert exact_tokens("hello world", "openai/gpt-4o") == 2
    assert exact_tokens("hello world", "gpt-4") == 2
    assert exact_tokens("hello world", "anthropic/claude-opus-5") is None
    assert exact_tokens("<|endoftext|>", "openai/gpt-4o") > 1, "text that looks like a mark is text"


def test_a_pdf_is_bounded_by_the_window_alone():
    prompt = Prompt("?", attachments=(Attachment("b.pdf", "application/pdf", b"%PDF-1"),))
    assert bound_tokens(prompt, "openai/gpt-4o", 128_000) == 128_000
    assert bound_tokens(prompt, "openai/gpt-4o", None) is None


def test_a_schema_counts_towards_the_bound():
    plain = bound_tokens(Prompt("x"), "m", None)
    schema = {"type": "object", "properties": {"a" * 100: {}}}
    assert bound_tokens(Prompt("x", schema=schema), "m", None) >= plain + len(json.dumps(schema, separators=(",", ":")))

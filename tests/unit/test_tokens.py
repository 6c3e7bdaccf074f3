"""Bounds on what a call's input can be, in tokens."""

import json
import sys
from pathlib import Path

import pytest

from scrimp.routing.batch.files.json_rows import json_row
from scrimp.routing.batch.files.source import Source
from scrimp.routing.prompts.prompt import Attachment, Prompt
from scrimp.routing.prompts.tokens import bound_tokens, estimate_tokens, text_bound

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import tokens as bench  # bench/ is no package

IMAGE = Attachment("a.png", "image/png", b"\x89PNG\r\n\x1a\n")
PDF = Attachment("a.pdf", "application/pdf", b"%PDF-1")


@pytest.mark.parametrize("part", ["alone", "runs", "pairs"])
def test_no_tokeniser_makes_more_tokens_of_a_text_than_its_bound(part):
    """All of Unicode, through every tokeniser that litellm brings along, after every normalisation."""
    texts = dict(bench.cases(quick=True))[part]
    assert list(bench.too_long(texts)) == []


def test_the_trial_notices_a_bound_that_is_none(monkeypatch):
    monkeypatch.setattr(bench, "text_bound", lambda text: len(text.encode()))
    found = {(form, name) for form, name, *_ in bench.too_long(["\ufdfa", "\u0958", "\U0001d160"])}
    assert {("none", "anthropic"), ("NFC", "cl100k_base"), ("NFKC", "o200k_base")} <= found


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("", 0),
        ("plain text", 10),
        ("\ufdfa" * 4_000, 132_000),
        ("\u0130", 3),  # its small letter is two characters
        ("\u0390", 6),  # so is the capital of this, and three
        ("\U0001d160", 12),
        ("\u00e9", 3),
        ("e\u0301", 3),
        ("日本", 6),
        ("\uac01", 9),  # three jamo
        ("\ud800", 3),
        ("\U000e0fff", 33),  # of a Unicode still to come
    ],
)
def test_a_text_is_bounded_by_the_most_that_its_characters_become(text, bound):
    assert text_bound(text) == bound


def test_bounds_of_parts_add_up():
    """However a text is cut, its parts are bounded by no less than the whole."""
    text = "a\u0301\u1112\u1161\u11ab\ufdfa\u0958\u0327x"
    assert all(text_bound(text[:at]) + text_bound(text[at:]) == text_bound(text) for at in range(len(text)))


def test_the_estimate_stays_what_it_was():
    assert estimate_tokens(Prompt("\ufdfa" * 1_000)) == 1_007


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("openai/gpt-4o-mini", 48_169),
        ("openrouter/openai/gpt-4o-mini", 48_169),
        ("openai/gpt-4o", 3_779),
        ("openai/gpt-4.1-nano", 3_779),
        ("openai/gpt-5-nano", 3_779),
        ("openai/o3", 3_779),
        ("o4-mini", 3_779),
        ("openai/gpt-5.4", 24_600),
        ("openai/gpt-5.5-2026-04-23", 24_600),
        ("openai/gpt-5.6", 73_800),
        ("openai/gpt-5.10", 73_800),
        ("openai/gpt-6-astra", 73_800),
        ("anthropic/claude-opus-4-7", 4_784),
        ("gemini/gemini-2.5-flash", 6_192),
        ("dashscope/qwen2.5-vl-72b-instruct", 16_386),
        ("ollama/qwen3-vl:8b", 16_386),
        ("groq/meta-llama/llama-4-scout-17b-16e-instruct", 6_404),
        ("ollama/llama3.2-vision", 6_404),
        ("mistral/pixtral-12b-2409", 4_160),
        ("openai/claude-that-is-gpt-4o-mini", 48_169),  # the dearer of the two
        ("openai/my-own-model", 73_800),
        ("azure/production", 73_800),
    ],
)
def test_an_image_is_bounded_by_the_dearest_of_the_models_family(model, tokens):
    one, two = (bound_tokens(Prompt("?", attachments=(IMAGE,) * n), model, None) for n in (1, 2))
    assert two - one == tokens
    assert one >= tokens


def test_detail_is_not_sent_so_that_the_bounds_of_the_default_hold():
    assert set(IMAGE.content_part()["image_url"]) == {"url"}


def test_a_pdf_is_the_whole_window_whatever_else_is_sent():
    prompt = Prompt("?", attachments=(IMAGE, PDF))
    assert bound_tokens(prompt, "openai/gpt-4o", 128_000) == 128_000
    assert bound_tokens(prompt, "openai/gpt-4o", None) is None


def test_a_schema_counts_as_what_a_model_may_read_of_it():
    plain = bound_tokens(Prompt("x"), "m", None)
    schema = {"const": "\ufdfa" * 100}
    assert bound_tokens(Prompt("x", schema=schema), "m", None) >= plain + 33 * 100


def test_a_rows_own_response_format_counts_towards_the_bound():
    schema = {"type": "object", "properties": {"a" * 10_000: {"type": "string"}}}
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    body = {"messages": [{"role": "user", "content": "x"}], "response_format": asked}
    source = Source(Path("rows.jsonl"), "jsonl", "rows.jsonl")
    row = json_row(source, 1, 1, json.dumps({"custom_id": "1", "url": "/v1/chat/completions", "body": body}))
    assert bound_tokens(row.prompt, "m", None) > 2 * 10_000


def test_templates_that_bring_a_system_prompt_along_have_room_for_it():
    short, long = (bound_tokens(Prompt("x"), model, None) for model in ("m", "huggingface/HuggingFaceTB/SmolLM3-3B"))
    assert long - short >= 1_000

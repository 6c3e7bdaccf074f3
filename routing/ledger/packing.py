"""Traces and features as they are kept: packed when they are written, plain again when they are read.

A trace is JSON of some kB that every request has. It is packed by zlib against a text that traces share (`_SHARED`), to
a ninth. An embedding of float32 is kept as one byte a number and one scale. What older versions wrote plain stays
plain: both are read, by the SQL functions `unpacked(column)` and `floats(column)` that every open ledger has.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

__all__ = ["floats", "pack", "pack_floats", "teach", "unpack"]

_SHARED: Final = (
    b"[3.78419, 2.197225, 0.693147, 0.0, 2.197225, 0.693147, 0.0, 0.0, 0.0, 0.023256, 0.0, 0.693147, 0.0, 0.0, "
    b'0.0, 0.0]"rests_on": "its own outcomes", "why": "dearer than it is worth", "worth less", "explored", '
    b'"named", "the only one", "private": true, "terms": {"length": 0.0, "kind": 0.0}, "guards": [{"guard": '
    b'"private", "outcome": "passed", "why": "", "detail": {}}, {"guard": "scope", "outcome": "changed"}, '
    b'{"guard": "rules"}, {"guard": "risk"}], "plan": {"text": "small ? checks > large", "spelled": null, "name": '
    b'null, "asked_for": false, "stages": [{"arms": ["small"], "gate": "*", "how": "one"}], "expected": '
    b'{"quality": 0.8, "cost_usd": 0.004}}, "conversation": null, {"schema_version": 1, "id": "01", "profile": '
    b'"default", "arm": "large", "greedy_arm": "large", "explored": false, "propensity": 1.0, "propensity_note": '
    b'null, "guard": null, "wtp_usd": 0.1, "min_quality": 0.0, "explore": 0.02, "ood": 0.2, "similarity": 0.5, '
    b'"level": 3.2, "against": "medium", "price_share": 0.07, "router_version": "shipped-2026.11.2", '
    b'"embedder_id": "all-MiniLM-L6-v2-int8@8199be6f+q800h128t64", "input_tokens": 18, "required": [], "pace": '
    b'null, "plan": null, "plans": [], "conversation": null, "guards": [], "rephrase": null, "assumed": {}, '
    b'"brief": false, "minute_usd": 0.0, "max_seconds": null, "arms": [{"name": "small", "model": '
    b'"openai/gpt-5-mini", "quality": 0.7, "quality_low": 0.3, "quality_high": 0.9, "basis": "calibrated", '
    b'"rests_on": "the router", "input_tokens": 18, "input_bound": 315, "cached_tokens": null, '
    b'"output_tokens_p50": 61, "output_tokens_p90": 176, "prompt_output_tokens": 61.0, "length_rests_on": "its '
    b'own calls", "output_limit": 4096, "cost_usd": 2.6e-05, "cost_usd_p90": 7.2e-05, "bound_usd": 0.0001, '
    b'"utility": 0.07, "propensity": 0.0, "feasible": true, "barrier": null, "by_cap": false, "limit_lowered": '
    b'false, "why": "cheaper, but worse by more", "near": "", "nearness": 1.0, "learned": 0.0, "first_s": null, '
    b'"seconds": null, "seconds_p90": null, "timed_by": "its own calls", "terms": {}, "flip_cost_usd": null, '
    b'"flip_wtp_usd": 0.005}, {"name": "medium", "model": "openai/", "quality": 0.78, "quality_low": 0.4, '
    b'"quality_high": 0.94, "basis": "prior", "rests_on": "similar models", "input_tokens": 18, "input_bound": '
    b'315, "cached_tokens": null, "output_tokens_p50": 61, "output_tokens_p90": 176, "prompt_output_tokens": '
    b'61.0, "length_rests_on": "the router", "output_limit": 200, "cost_usd": 0.00013, "cost_usd_p90": 0.0003, '
    b'"bound_usd": 0.0005, "utility": 0.078, "propensity": 1.0, "feasible": true, "barrier": null, "by_cap": '
    b'false, "limit_lowered": false, "why": "taken", "near": "", "nearness": 1.0, "learned": 0.0, "first_s": '
    b'null, "seconds": null, "seconds_p90": null, "timed_by": "", "terms": {}, "flip_cost_usd": 0.003, '
    b'"flip_wtp_usd": null}]}'
)
"""What traces share. Blobs that are kept name it by `_FIRST`: a new text is added beside it, and this one stays."""

_FIRST: Final = b"\x01"
_LEVEL: Final = 6
_MEMORY: Final = 6
"""Of zlib, 1 to 9: at 9 half a megabyte is cleared for each trace, which takes five times as long for as many bytes."""

_RAW: Final = -15
"""Neither header nor checksum: SQLite's pages are what guards the bytes."""

_SCALED: Final = b"\x01"
_HEAD: Final = struct.Struct("<cf")


def pack(text: str | bytes | None) -> bytes | None:
    """Return JSON as it is kept; None of None.

    Examples
    --------
    >>> unpack(pack('{"a": 1}')), unpack('{"old": 1}')
    ('{"a": 1}', '{"old": 1}')
    """
    if text is None:
        return None
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _SHARED)
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return _FIRST + packer.compress(data) + packer.flush()


def unpack(kept: str | bytes | None) -> str | None:
    """Return JSON that was packed; text as it is; None of what cannot be unpacked."""
    if kept is None or isinstance(kept, str):
        return kept
    if kept[:1] != _FIRST:
        return None
    try:
        return zlib.decompressobj(_RAW, _SHARED).decompress(kept[1:]).decode("utf-8", "surrogatepass")
    except (zlib.error, UnicodeDecodeError):
        return None


def pack_floats(vector: bytes | None) -> bytes | None:
    """Return an embedding (little-endian float32) as it is kept: a byte a number, and their scale.

    Each number is off by at most half of 1/127 of the largest: of a unit vector of 384 dimensions the cosine with what
    it was is above 0.9999. A vector whose length is no multiple of four stays as it is, so that the two can be told
    apart.
    """
    if vector is None or not vector or len(vector) % 16:
        return vector
    import numpy as np

    values = np.frombuffer(vector, "<f4")
    top = float(np.abs(values).max())
    if not np.isfinite(top):
        return vector
    scale = top / 127.0 or 1.0
    return _HEAD.pack(_SCALED, scale) + np.rint(values / scale).astype(np.int8).tobytes()


def floats(kept: bytes | None) -> bytes | None:
    """Return an embedding as little-endian float32."""
    if kept is None or len(kept) % 4 != _HEAD.size % 4 or kept[:1] != _SCALED:
        return kept
    import numpy as np

    (_, scale) = _HEAD.unpack_from(kept)
    return (np.frombuffer(kept, np.int8, offset=_HEAD.size).astype("<f4") * np.float32(scale)).tobytes()


def teach(conn: sqlite3.Connection) -> None:
    """Let a connection read what is packed: `unpacked(column)` and `floats(column)` in SQL."""
    conn.create_function("unpacked", 1, unpack, deterministic=True)
    conn.create_function("floats", 1, floats, deterministic=True)

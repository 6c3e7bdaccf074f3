"""What the header of a GGUF file says of a model's size: enough to tell how long it takes; no weights are read.

The layout is that of ggml's documentation of the format, versions 2 and 3, little-endian: a magic word, the version,
how many tensors and how many fields of metadata there are; the fields; and for each tensor its name, shape, type and
offset.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Gguf", "read_gguf"]

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_MOST: Final = 1 << 24
"""More fields, tensors or members of an array than any model has: the file is damaged."""

_CACHE_BYTES: Final = 2
"""Of one number in the cache of keys and values: llama.cpp keeps 16 bits."""


@dataclass(frozen=True, slots=True)
class Gguf:
    """The size of a model.

    Attributes
    ----------
    n_parameters, weight_bytes
        All of them, and what they weigh.
    n_block, n_output
        Those that one token is multiplied with in the layers (of experts, the ones that are asked), and in the head
        that names the next token, which is asked once for a prompt.
    block_bytes, output_bytes
        What these weigh in the file.
    n_layers, width
        Layers, and how wide their attention is (heads times the length of a key).
    kv_bytes
        What a token of context takes in the cache of keys and values, bytes.
    window
        The context that it was trained on, tokens; None where the file does not say.
    """

    n_parameters: int
    weight_bytes: int
    n_block: int
    n_output: int
    block_bytes: int
    output_bytes: int
    n_layers: int
    width: int
    kv_bytes: int
    window: int | None

    @property
    def bend(self) -> float | None:
        """At how many tokens of context attention takes as much work as the weights; None without layers.

        2 P against 4 L w n multiplications and additions a token, with P parameters, L layers, width w and n tokens.
        """
        across = 4.0 * self.n_layers * self.width
        return 2.0 * self.n_block / across if across else None


def read_gguf(path: Path) -> Gguf:
    """Read a file's header.

    Raises
    ------
    ConfigError
        If it cannot be read, is no GGUF file, or is damaged.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Header(data).read()
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        if isinstance(error, UnicodeDecodeError):
            raise _damaged(path) from error
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except (struct.error, IndexError, KeyError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not a GGUF file, or its header is damaged", hint="llama.cpp models come as .gguf")


class _Header:
    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def read(self) -> Gguf:
        """Return what it says.

        Raises
        ------
        struct.error, KeyError
            If it is not what it should be.
        """
        if self.data[:4] != _MAGIC:
            raise KeyError
        self.at = 4
        (version,) = self._take("I")
        n_tensors, n_fields = self._take("QQ")
        if version not in _VERSIONS or max(n_tensors, n_fields) > _MOST:
            raise KeyError
        fields = {}
        for _ in range(n_fields):
            key = self._text()
            fields[key] = self._value(self._take("I")[0])
        tensors = []
        for _ in range(n_tensors):
            name = self._text()
            (n_dims,) = self._take("I")
            shape = self._take(f"{min(n_dims, 8)}Q")
            _kind, offset = self._take("IQ")
            tensors.append((offset, name, prod(shape)))
        align = int(fields.get("general.alignment") or 32)
        start = -(-self.at // align) * align
        return _sized(fields, sorted(tensors), len(self.data) - start)

    def _take(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return found

    def _text(self) -> str:
        (n,) = self._take("Q")
        found = self.data[self.at : self.at + n]
        self.at += n
        if len(found) < n:
            raise KeyError
        return found.decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        """Return a field's value; None of an array of texts, which a vocabulary is."""
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._take(_SCALARS[kind])[0]
        inner, n = self._take("IQ")
        if n > _MOST:
            raise KeyError
        if inner == _STRING:
            data, at = self.data, self.at
            for _ in range(n):
                at += 8 + int.from_bytes(data[at : at + 8], "little")
            self.at = at
            if at > len(data):
                raise KeyError
            return None
        if inner == _ARRAY:
            return [self._value(_ARRAY) for _ in range(n)]
        return list(self._take(f"{n}{_SCALARS[inner]}"))


def _sized(fields: dict[str, Any], tensors: list[tuple[int, str, int]], n_bytes: int) -> Gguf:
    """Put a model's size together.

    Parameters
    ----------
    tensors
        Offset, name and number of parameters of each, by offset.
    n_bytes
        What all of them weigh.
    """
    kind = fields["general.architecture"]

    def number(key: str) -> int:
        found = fields.get(f"{kind}.{key}")
        if isinstance(found, list):  # layers may differ
            return round(sum(found) / len(found)) if found else 0
        return int(found or 0)

    ends = [*(offset for offset, _, _ in tensors[1:]), n_bytes]
    experts, asked = number("expert_count"), number("expert_used_count")
    share = asked / experts if experts and asked else 1.0
    block = output = embedding = block_bytes = output_bytes = embedding_bytes = 0.0
    for (offset, name, n), end in zip(tensors, ends, strict=True):
        weight = end - offset
        if name == "token_embd.weight":
            embedding, embedding_bytes = n, weight
        elif name == "output.weight":
            output, output_bytes = n, weight
        else:
            part = share if "_exps." in name else 1.0
            block += part * n
            block_bytes += part * weight
    if not output:  # the embedding is the head too
        output, output_bytes = embedding, embedding_bytes
    layers, heads = number("block_count"), number("attention.head_count")
    each = number("embedding_length") // heads if heads else 0
    key, value = number("attention.key_length") or each, number("attention.value_length") or each
    kv_heads = number("attention.head_count_kv") or heads
    return Gguf(
        n_parameters=sum(n for _, _, n in tensors),
        weight_bytes=n_bytes,
        n_block=round(block),
        n_output=round(output),
        block_bytes=round(block_bytes),
        output_bytes=round(output_bytes),
        n_layers=layers,
        width=heads * key,
        kv_bytes=layers * kv_heads * (key + value) * _CACHE_BYTES,
        window=number("context_length") or None,
    )

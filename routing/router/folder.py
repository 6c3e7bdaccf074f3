"""Router versions on disk: a folder with card.json and router.npz; checked before anything of it is used."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.profiles.errors import DataError
from scrimp.profiles.files import kind_of_file, replacing
from scrimp.profiles.reading import read_bytes
from scrimp.routing.prompts.surface import FEATURE_NAMES, FEATURE_SET

from .learned import LEVELS, ArmLayer, LearnedRouter, Weights

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CARD", "SCHEMA_VERSION", "WEIGHTS", "OlderSchemaError", "read_router", "write_router"]

SCHEMA_VERSION: Final = 2
CARD: Final = "card.json"
WEIGHTS: Final = "router.npz"
_MAX_CARD: Final = 16_000_000
_MAX_BYTES: Final = 64_000_000
_MAX_ARRAYS: Final = 256_000_000
"""The most that the arrays of a version come to, unpacked: the shipped ones are a hundredth of it."""

_PICKLES: Final = (".pkl", ".pickle", ".joblib", ".pt", ".bin")
_ARRAYS: Final = tuple(Weights.__annotations__)
_STORED: Final = {
    "landmarks": np.float16,
    "level_centres": np.float16,
    "seen": np.uint32,
    "head_sources": np.uint8,
    "landmark_sources": np.uint8,
}
_READ: Final = {**_STORED, "centre": np.float32, "landmarks": np.float32, "level_centres": np.float32}


class OlderSchemaError(DataError):
    """A version is whole, and of a scrimp that is gone: there is nothing to mend, only to learn anew."""


def write_router(router: LearnedRouter, folder: Path) -> None:
    """Write a router version: weights first, then the card that vouches for them with their checksum.

    Coefficients are rounded to six decimals, so that the last bits of another processor's arithmetic do not show.
    """
    arrays: dict[str, Any] = {}
    for name in _ARRAYS:
        value = getattr(router.weights, name)
        if name in _STORED:
            arrays[name] = value.astype(_STORED[name])
        else:
            arrays[name] = np.round(value, 6).astype(np.float32) + np.float32(0.0)  # no negative zeros
    for k, key in enumerate(sorted(router.layers)):
        arrays[f"layer_{k}"] = np.round(router.layers[key].weights, 6).astype(np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    content = buffer.getvalue()
    card = {
        **router.card,
        "schema_version": SCHEMA_VERSION,
        "version": router.version,
        "embedder_id": router.embedder_id,
        "feature_set": FEATURE_SET,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "models": list(router.models),
        "prior": dict(router.prior),
        "layers": {
            key: {
                "array": f"layer_{k}",
                "n_outcomes": layer.n_outcomes,
                "shift_sd": layer.shift_sd,
                "calibrated": layer.calibrated,
                "token_shift": layer.token_shift,
                "ability": layer.ability,
                "version": layer.version,
                "slope": layer.slope,
                **({} if layer.instructions is None else {"instructions": layer.instructions}),
            }
            for k, (key, layer) in enumerate(sorted(router.layers.items()))
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    for name, what in ((WEIGHTS, content), (CARD, text.encode())):
        with replacing(folder / name, mode=0o666) as file:
            file.write(what)


def _refuse(folder: Path, why: str) -> DataError:
    return DataError(f"router version {folder.name!r} refused: {why}", hint=f"it lies in {folder}")


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads(_read(folder / CARD, _MAX_CARD))
    except FileNotFoundError:
        raise _refuse(folder, f"it has no {CARD}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _refuse(folder, f"its {CARD} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not isinstance(card, dict):
        raise _refuse(folder, f"its {CARD} is not an object")
    schema = card.get("schema_version")
    if not isinstance(schema, int):
        raise _refuse(folder, "its card states no schema version")
    if schema != SCHEMA_VERSION:
        if schema < SCHEMA_VERSION:
            older = _refuse(folder, f"it is of an older schema ({schema}; this version reads {SCHEMA_VERSION})")
            raise OlderSchemaError(older.message, hint=older.hint)
        raise _refuse(folder, f"it is of a newer schema ({schema}; this version reads {SCHEMA_VERSION})")
    if card.get("feature_set") != FEATURE_SET:
        raise _refuse(folder, f"it was learnt on other features ({card.get('feature_set')}, not {FEATURE_SET})")
    return card


def _read_arrays(folder: Path, card: dict[str, Any]) -> dict[str, Any]:
    path = folder / WEIGHTS
    try:
        content = _read(path, _MAX_BYTES)
    except FileNotFoundError:
        raise _refuse(folder, f"it has no {WEIGHTS}") from None
    except OSError as error:
        raise _refuse(folder, f"its {WEIGHTS} cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(content).hexdigest() != card.get("weights_sha256"):
        raise _refuse(folder, f"its {WEIGHTS} is truncated or changed (the checksum differs)")
    try:
        return _unpacked(content)
    except (ValueError, OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _refuse(folder, f"its {WEIGHTS} is not a plain array file ({error})") from error


def _read(path: Path, limit: int) -> bytes:
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, f"it is {kind_of_file(path)}")
    return read_bytes(path, limit=limit)


def _unpacked(content: bytes) -> dict[str, Any]:
    """Return the arrays of an .npz. Nothing is unpacked before its stated size is known to fit.

    Raises
    ------
    ValueError
        If they come to more than `_MAX_ARRAYS`, or an array is not what its header says, or holds Python's objects.
    """
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > _MAX_ARRAYS:
            raise ValueError(f"unpacked it is over {_MAX_ARRAYS:,} bytes")
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{member.filename} is packed in another way than numpy's")
            with archive.open(member) as file:  # bounded: `read` of the archive itself unpacks all, whatever was stated
                data = file.read(member.file_size + 1)
            raw = io.BytesIO(data)
            version = np.lib.format.read_magic(raw)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(raw)
            if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - raw.tell():
                raise ValueError(f"{member.filename} does not hold what its header says")
            raw.seek(0)
            arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(raw, allow_pickle=False)
    return arrays


def _check_shapes(folder: Path, arrays: dict[str, Any], n_models: int) -> None:
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise _refuse(folder, f"its {WEIGHTS} lacks {', '.join(missing)}")
    dim, features = len(arrays["centre"]), len(FEATURE_NAMES)
    p = dim + features + 1
    flat = [name for name in ("landmarks", "level_centres", "head_sources") if arrays[name].ndim != 2]
    if flat:
        raise _refuse(folder, f"{flat[0]} is of shape {arrays[flat[0]].shape}")
    wanted = {
        "surface_mean": (features,), "surface_sd": (features,), "surface_low": (features,), "surface_high": (features,),
        "level_scale": (features,), "curve_ease": (len(LEVELS),), "curve_spread": (len(LEVELS),), "tokens": (p,),
        "public_ease": (p,), "public_spread": (p,), "gate": (p,),
        "ability": (n_models,), "token_shift": (n_models,), "head": (n_models, p),
        "landmark_sources": (len(arrays["landmarks"]),), "level_weights": (len(arrays["level_centres"]) + 2,),
    }  # fmt: skip
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise _refuse(folder, f"{name} is of shape {arrays[name].shape}, not {shape}")
    for name, width in (("landmarks", dim), ("level_centres", dim + features)):
        if arrays[name].shape[1] != width or not len(arrays[name]):
            raise _refuse(folder, f"{name} is of shape {arrays[name].shape}")
    if len(arrays["head_sources"]) != n_models:
        raise _refuse(folder, f"head_sources is of shape {arrays['head_sources'].shape}")
    for name, value in arrays.items():
        if value.dtype.kind not in "fu" or (name != "token_shift" and not np.isfinite(value).all()):
            raise _refuse(folder, f"{name} holds values that are not finite numbers")


def read_router(folder: Path, *, embedder_id: str | None = None) -> LearnedRouter:
    """Read a router version.

    Parameters
    ----------
    folder
        Holds card.json and router.npz, and nothing that could be a pickle.
    embedder_id
        The embedder in use; None accepts any.

    Raises
    ------
    DataError
        Naming the version and why it is refused: missing or damaged files, a newer schema, other features, another
        embedder, a pickle, arrays that do not fit. `OlderSchemaError` where it is only of an older schema.
    """
    try:
        pickles = [entry.name for entry in folder.iterdir() if entry.suffix in _PICKLES]
    except OSError:
        raise _refuse(folder, "there is no such folder") from None
    if pickles:
        raise _refuse(folder, f"it holds {pickles[0]}: a pickle can run code and is never loaded")
    card = _read_card(folder)
    if embedder_id is not None and card.get("embedder_id") != embedder_id:
        raise _refuse(folder, f"it was learnt with another embedder ({card.get('embedder_id')}, not {embedder_id})")
    arrays = _read_arrays(folder, card)
    try:
        models = tuple(map(str, card["models"]))
        prior = {str(key): float(value) for key, value in card["prior"].items()}
        described = dict(card.get("layers", {}))
        _check_shapes(folder, arrays, len(models))
        layers = {
            str(key): ArmLayer(
                weights=arrays[entry["array"]].astype(np.float64),
                n_outcomes=int(entry["n_outcomes"]),
                shift_sd=float(entry["shift_sd"]),
                calibrated=bool(entry["calibrated"]),
                token_shift=None if entry.get("token_shift") is None else float(entry["token_shift"]),
                ability=None if entry.get("ability") is None else float(entry["ability"]),
                version=str(entry.get("version", "")),
                slope=float(entry.get("slope", 1.0)),
                instructions=None if entry.get("instructions") is None else str(entry["instructions"]),
            )
            for key, entry in described.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refuse(folder, f"its {CARD} lacks or garbles {error}") from error
    if any(layer.weights.shape != arrays["tokens"].shape for layer in layers.values()):
        raise _refuse(folder, "a layer's shape does not fit")
    weights = Weights(**{name: arrays[name].astype(_READ.get(name, np.float64), copy=False) for name in _ARRAYS})
    return LearnedRouter(
        version=str(card.get("version", folder.name)),
        embedder_id=str(card["embedder_id"]),
        weights=weights,
        models=models,
        prior=prior,
        layers=layers,
        card=card,
    )

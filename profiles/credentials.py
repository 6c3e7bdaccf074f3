"""Credentials that are not one key: whether what Amazon's and Google's own tools use can be seen from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OWN_WAY", "how_to_give", "seen"]

_AWS: Final = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_PROFILE",),
    ("AWS_PROFILE_NAME",),
    ("AWS_WEB_IDENTITY_TOKEN_FILE",),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
)
_GOOGLE: Final = (("GOOGLE_APPLICATION_CREDENTIALS",), ("VERTEXAI_CREDENTIALS",), ("VERTEX_CREDENTIALS",))
_AWS_FILE: Final = ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")
_GOOGLE_FILE: Final = ("CLOUDSDK_CONFIG", ".config/gcloud/application_default_credentials.json")

OWN_WAY: Final = {
    "bedrock": (_AWS, _AWS_FILE),
    "bedrock_converse": (_AWS, _AWS_FILE),
    "sagemaker": (_AWS, _AWS_FILE),
    "sagemaker_chat": (_AWS, _AWS_FILE),
    "vertex_ai": (_GOOGLE, _GOOGLE_FILE),
    "vertex_ai_beta": (_GOOGLE, _GOOGLE_FILE),
}
"""Providers whose credentials LiteLLM finds as the provider's own tools do: the variables of which one group has to be
set, and the file, by the variable that names it and from the home folder."""


def seen(provider: str, env: Mapping[str, str]) -> bool:
    """Return whether such credentials can be seen, in variables or in the tools' own file; nothing is read of them.

    Where they cannot, they may still be there: a machine in the provider's own cloud has a role, which no file shows.
    """
    groups, (variable, at_home) = OWN_WAY[provider]
    if any(all(env.get(name, "").strip() for name in group) for group in groups):
        return True
    named, home = env.get(variable), env.get("HOME")
    places = [Path(named)] if named else []
    if home:
        places.append(Path(home) / at_home)
    return any(place.is_file() for place in places)


def how_to_give(provider: str) -> str:
    """Return in words how such credentials are given."""
    if provider.startswith("vertex_ai"):
        return "`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS"
    key = "`scrimp keys set AWS_BEARER_TOKEN_BEDROCK`, or " if provider.startswith("bedrock") else ""
    return f"{key}what the AWS tools use: AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, `aws configure`"

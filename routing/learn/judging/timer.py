"""Refit by itself: a systemd user timer, or the line to put into a crontab."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Installed", "command_line", "environment_of", "install_timer", "unit_files"]

_CRON = {"daily": "17 4 * * *", "weekly": "17 4 * * 1"}


@dataclass(frozen=True, slots=True)
class Installed:
    """What was done, or what is left for the user to do."""

    method: Literal["systemd", "cron"]
    enabled: bool
    files: tuple[str, ...]
    lines: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"method": self.method, "enabled": self.enabled, "files": list(self.files), "lines": list(self.lines)}


def command_line(profile: str) -> list[str]:
    """Return the command that a timer runs: this installation's own, quiet unless the router changes."""
    found = shutil.which("scrimp")
    start = [found] if found else [sys.executable, "-m", "scrimp.cli"]
    return [*start, "refit", "--quiet", "-p", profile]


def environment_of(env: Mapping[str, str], origin: Iterable[str]) -> dict[str, str]:
    """Return the variables that a command finds the user's files by, and those that the profile was laid over with.

    A timer has an environment of its own, with none of them.

    Parameters
    ----------
    origin
        Where the parts of the profile come from (`Loaded.origin`).
    """
    places = ["SCRIMP_HOME"] if env.get("SCRIMP_HOME") else ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"]
    laid = sorted({each for each in origin if each.startswith("SCRIMP_")})
    values = {name: env[name] for name in (*places, *laid) if env.get(name)}
    return {name: str(Path(value).absolute()) if name in places else value for name, value in values.items()}


def _quoted(word: str) -> str:
    """Quote a word for a systemd unit, where % and $ mean something."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if any(c in word for c in " \t'\";") or not word else word


def unit_files(every: str, command: list[str], env: Mapping[str, str]) -> dict[str, str]:
    """Return the text of the service and the timer, by file name."""
    environment = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in env.items())
    service = (
        "[Unit]\nDescription=Refit the scrimp router\n\n[Service]\nType=oneshot\nNice=10\nSuccessExitStatus=75\n"
        f"{environment}ExecStart={' '.join(_quoted(word) for word in command)}\n"
    )
    timer = (
        f"[Unit]\nDescription=Refit the scrimp router {every}\n\n[Timer]\nOnCalendar={every}\nPersistent=true\n"
        "RandomizedDelaySec=1h\n\n[Install]\nWantedBy=timers.target\n"
    )
    return {"scrimp-refit.service": service, "scrimp-refit.timer": timer}


def install_timer(every: str, profile: str, env: Mapping[str, str]) -> Installed:
    """Install a systemd user timer; where there is no systemd, return the line for a crontab.

    Parameters
    ----------
    every
        `daily` or `weekly`.
    profile
        The profile that is refitted: a name, or the whole path of a file.
    env
        What it is to find in its environment (`environment_of`).
    """
    command = command_line(profile)
    systemctl = shutil.which("systemctl")
    running = systemctl is not None and Path("/run/systemd/system").is_dir()
    if systemctl is None or not running:
        prefix = "".join(f"{name}={shlex.quote(value)} " for name, value in env.items())
        line = f"{_CRON[every]} {prefix}{shlex.join(command)}".replace("%", r"\%")
        return Installed("cron", False, (), ("no systemd here; put this line into your crontab (crontab -e):", line))
    base = os.environ.get("XDG_CONFIG_HOME")
    folder = (Path(base) if base else Path.home() / ".config") / "systemd" / "user"
    folder.mkdir(parents=True, exist_ok=True)
    files = unit_files(every, command, env)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    written = tuple(str(folder / name) for name in files)
    enable = [systemctl, "--user", "enable", "--now", "scrimp-refit.timer"]
    enabled = True
    for step in ([systemctl, "--user", "daemon-reload"], enable):
        done = subprocess.run(step, capture_output=True, check=False, timeout=30, stdin=subprocess.DEVNULL)
        enabled = enabled and done.returncode == 0
    lines = [f"wrote {name}" for name in written]
    lines.append(
        f"the router of profile {profile} is refitted {every} from now on"
        if enabled
        else "it could not be enabled here; do it with: systemctl --user enable --now scrimp-refit.timer"
    )
    return Installed("systemd", enabled, written, tuple(lines))

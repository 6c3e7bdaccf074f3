"""Refit by itself: a systemd user timer, or the line to put into a crontab."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Installed", "command_line", "install_timer", "unit_files"]

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


def command_line(profile: str | None) -> list[str]:
    """Return the command that a timer runs: this installation's own, quiet unless the router changes."""
    found = shutil.which("scrimp")
    start = [found] if found else [sys.executable, "-m", "scrimp.cli"]
    if profile is not None and profile.endswith(".toml"):
        profile = str(Path(profile).absolute())
    return [*start, "refit", "--quiet", *(["-p", profile] if profile else [])]


def _quoted(word: str) -> str:
    """Quote a word for a systemd unit, where % and $ mean something."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if any(c in word for c in " \t'\";") or not word else word


def unit_files(every: str, command: list[str], home: str | None) -> dict[str, str]:
    """Return the text of the service and the timer, by file name."""
    environment = f"Environment={_quoted('SCRIMP_HOME=' + home)}\n" if home else ""
    service = (
        "[Unit]\nDescription=Refit the scrimp router\n\n[Service]\nType=oneshot\nNice=10\nSuccessExitStatus=75\n"
        f"{environment}ExecStart={' '.join(_quoted(word) for word in command)}\n"
    )
    timer = (
        f"[Unit]\nDescription=Refit the scrimp router {every}\n\n[Timer]\nOnCalendar={every}\nPersistent=true\n"
        "RandomizedDelaySec=1h\n\n[Install]\nWantedBy=timers.target\n"
    )
    return {"scrimp-refit.service": service, "scrimp-refit.timer": timer}


def install_timer(every: str, profile: str | None) -> Installed:
    """Install a systemd user timer; where there is no systemd, return the line for a crontab.

    Parameters
    ----------
    every
        `daily` or `weekly`.
    """
    command = command_line(profile)
    home = os.environ.get("SCRIMP_HOME")
    systemctl = shutil.which("systemctl")
    running = systemctl is not None and Path("/run/systemd/system").is_dir()
    if systemctl is None or not running:
        prefix = f"SCRIMP_HOME={shlex.quote(str(Path(home).absolute()))} " if home else ""
        line = f"{_CRON[every]} {prefix}{shlex.join(command)}".replace("%", r"\%")
        return Installed("cron", False, (), ("no systemd here; put this line into your crontab (crontab -e):", line))
    base = os.environ.get("XDG_CONFIG_HOME")
    folder = (Path(base) if base else Path.home() / ".config") / "systemd" / "user"
    folder.mkdir(parents=True, exist_ok=True)
    files = unit_files(every, command, None if home is None else str(Path(home).absolute()))
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
        f"the router is refitted {every} from now on"
        if enabled
        else "it could not be enabled here; do it with: systemctl --user enable --now scrimp-refit.timer"
    )
    return Installed("systemd", enabled, written, tuple(lines))

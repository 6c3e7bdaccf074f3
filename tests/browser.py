"""A real browser without a screen, driven over a pipe by its own protocol: no port, no driver, no further package."""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="Debian's chromium is not installed")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-extensions", "--hide-scrollbars", "--disable-dev-shm-usage", "--password-store=basic",
    "--remote-debugging-pipe",
)  # fmt: skip

PATIENCE_S = 120.0


class Browser:
    """One browser process; `open` gives a page of it."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="scrimp-browser-", ignore_cleanup_errors=True)
        # What it reads from descriptor 3 and writes to 4 are this process's pipes.
        begin = 'exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null'
        self.process = subprocess.Popen(
            ["sh", "-c", begin, PROGRAM, *FLAGS, f"--user-data-dir={self.folder.name}", "about:blank"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "HOME": self.folder.name},
        )  # fmt: skip
        self.numbers = itertools.count(1)
        self.buffer = b""
        self.events = []
        return self

    def __exit__(self, *_):
        try:
            self.ask("Browser.close")
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired, AssertionError):
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.folder.cleanup()

    def ask(self, method, session=None, **params):
        """Give a command; return its result. Events that arrive meanwhile are kept."""
        number = next(self.numbers)
        told = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        self.process.stdin.write(json.dumps(told).encode() + b"\0")
        self.process.stdin.flush()
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self.events.append(message)

    def _next(self):
        while b"\0" not in self.buffer:
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            assert data, "the browser is gone"
            self.buffer += data
        told, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(told)

    def open(self, path, *, width, height=900, dark=False, scripts=True):
        """Open a file in a page of its own, at a width in pixels; return the `Page` when it has loaded."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        if not scripts:
            page.ask("Emulation.setScriptExecutionDisabled", value=True)
        page.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.ask("Emulation.setEmulatedMedia", media="", features=[scheme])
        page.go(Path(path).absolute().as_uri())
        return page


class Page:
    """One page."""

    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session

    def ask(self, method, **params):
        return self.browser.ask(method, session=self.session, **params)

    def heard(self, method):
        """Return what arrived of a kind of event for this page."""
        mine = [each for each in self.browser.events if each.get("sessionId") == self.session]
        return [each["params"] for each in mine if each["method"] == method]

    def go(self, url):
        self.url = url
        self.ask("Page.navigate", url=url)
        end = time.monotonic() + PATIENCE_S
        while not self.heard("Page.loadEventFired"):
            assert time.monotonic() < end, "the page does not load"
            self.ask("Page.getFrameTree")  # what has happened comes before the answer

    def run(self, script):
        """Return the value of an expression in the page."""
        done = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def picture(self, path=None, *, whole=True, height=None):
        """Return a PNG of the page (its whole length); it is written to `path` too."""
        clip = {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}}
        data = base64.b64decode(
            self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip)["data"]
        )
        if path is not None:
            Path(path).write_bytes(data)
        return data

    def complaints(self):
        """Return what the console says, errors of scripts, and what the page's policy stopped."""
        said = [each["entry"]["text"] for each in self.heard("Log.entryAdded")]
        said += [str(each["args"]) for each in self.heard("Runtime.consoleAPICalled")]
        said += [each["exceptionDetails"]["text"] for each in self.heard("Runtime.exceptionThrown")]
        return said

    def requests(self):
        """Return the addresses that were asked for, but for the page's own."""
        return [
            each["request"]["url"]
            for each in self.heard("Network.requestWillBeSent")
            if each["request"]["url"].partition("#")[0] != self.url
        ]

    def close(self):
        self.browser.ask("Target.closeTarget", targetId=self.target)

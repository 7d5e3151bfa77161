"""A browser that nobody drives, as people have it: it hides, crashes and comes back, which drivers cannot or forbid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.browser.driving import CHROMIUM, CHROMIUM_ARGUMENTS, FIREFOX

START_S: Final = 45  # on a busy machine Firefox takes half a minute to begin with a new profile
QUIET_FIREFOX: Final = {
    "browser.aboutwelcome.enabled": False,
    "browser.sessionstore.resume_from_crash": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "startup.homepage_welcome_url": "",
}
RENDERERS: Final = {"chromium": "--type=renderer", "firefox": " tab", "webkit": "WebKitWebProcess"}


class Undriven:
    """A browser with one window and a profile that outlives it."""

    def __init__(self, engine: str, display: str, profile: Path) -> None:
        self._engine, self._profile = engine, profile
        self._environment = {**os.environ, "DISPLAY": display, "GDK_BACKEND": "x11", "MOZ_ENABLE_WAYLAND": "0"}
        folders = ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        self._environment |= {name: str(profile / name) for name in folders}

    @contextmanager
    def showing(self, url: str) -> Iterator[subprocess.Popen[bytes]]:
        """The browser, started with one page."""
        process = subprocess.Popen(
            self._command(url),
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)  # Firefox writes down what it holds of a page's storage
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    def minimise(self, title: str) -> str:
        """Hides the window whose page has this title; the window."""
        window = self._xdotool("search", "--sync", "--onlyvisible", "--name", title).split()[-1]
        self._xdotool("windowminimize", window)
        return window

    def restore(self, window: str) -> None:
        self._xdotool("windowmap", window)
        self._xdotool("windowactivate", window)

    def crash(self, process: subprocess.Popen[bytes]) -> None:
        """Ends the processes that run pages, as the system does when memory is short."""
        for pid in _descendants(process.pid):
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").rstrip()
            mark = RENDERERS[self._engine]
            if command.endswith(mark) if self._engine == "firefox" else mark in command:
                os.kill(pid, signal.SIGKILL)

    def _command(self, url: str) -> list[str]:
        if self._engine == "chromium":
            return [CHROMIUM, *CHROMIUM_ARGUMENTS, f"--user-data-dir={self._profile}", url]
        if self._engine == "firefox":
            prefs = (f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in QUIET_FIREFOX.items())
            (self._profile / "user.js").write_text("\n".join(prefs))
            return [FIREFOX, "--profile", str(self._profile), "--no-remote", url]
        return [str(next(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"))), url]

    def _xdotool(self, *arguments: str) -> str:
        return subprocess.run(
            ["xdotool", *arguments], env=self._environment, check=True, capture_output=True, text=True, timeout=START_S
        ).stdout


def _descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they did."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {pid})

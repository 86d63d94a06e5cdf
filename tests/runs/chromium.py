"""Opens files in a headless Chromium, and notes what they ask for and complain of."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_BEGIN = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_WORDS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe", "--no-first-run",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@dataclass
class Opened:
    """A page as it was shown."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    screenshot: bytes = b""


class Chromium:
    """One browser; it is spoken to through two pipes, no port is opened."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        (read, self._write), (self._read, write) = _pipe(), _pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, str(read), str(write), CHROMIUM, *_WORDS, f"--user-data-dir={folder}"],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._number, self._rest = 0, b""
        self._events: list[dict[str, Any]] = []

    def close(self) -> None:
        os.close(self._write)  # with its pipe, the browser ends
        self._process.wait(timeout=120)
        os.close(self._read)

    def open(self, file: Path, *, width: int, dark: bool, evaluate: dict[str, str]) -> Opened:
        """Open a file in a window of its own.

        Args:
            file: HTML.
            width: Of the window, in CSS pixels; up to 500 it is a telephone.
            dark: Whether the system prefers dark pages.
            evaluate: Expressions to evaluate in the page, by name.
        """
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        is_phone = width <= 500
        for method in ("Page.enable", "Runtime.enable", "Network.enable", "Log.enable"):
            self._call(method)
        shape = {"width": width, "height": 800, "deviceScaleFactor": 2 if is_phone else 1, "mobile": is_phone}
        self._call("Emulation.setDeviceMetricsOverride", **shape)
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self._call("Page.navigate", url=file.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._take()
        opened = Opened()
        for name, expression in evaluate.items():
            result = self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]
            opened.values[name] = result.get("value")
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        opened.screenshot = base64.b64decode(shot["data"])
        for event in self._events:
            if event["method"] == "Network.requestWillBeSent":
                opened.requests.append(event["params"]["request"]["url"])
            elif event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                opened.complaints.append(json.dumps(event["params"]))
        self._session = ""
        self._call("Target.closeTarget", targetId=target)
        return opened

    _session = ""

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._take()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _take(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._read, 1 << 16)
            assert chunk, "the browser has ended"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self._events.append(message)
        return message


def _pipe() -> tuple[int, int]:
    """Both ends of a pipe, with numbers above those that the browser wants."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]

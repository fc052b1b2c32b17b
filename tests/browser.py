"""Headless Chromium, driven over its DevTools protocol: lays pages out, runs scripts in them, and prints them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",  # commands come in on file descriptor 3, answers go out on 4, each ended by NUL
)


class Browser:
    """A tab of Chromium. `open_page` lays out a page; the other methods are about the page that is open."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self._commands = commands
        self._answers = answers
        self._session: dict[str, str] = {}  # empty: the browser itself; else the tab
        self._command_count = 0

    def attach(self) -> None:
        """Create the tab that all later commands are for."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        self.send("Page.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._command_count += 1
        command = {"id": self._command_count, "method": method, "params": parameters, **self._session}
        self._commands.write(json.dumps(command).encode() + b"\0")
        self._commands.flush()
        answer = self._wait_for("id", self._command_count)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def open_page(
        self,
        page: Path | str,
        *,
        width: int,
        colors: Literal["light", "dark"] = "light",
        media: Literal["screen", "print"] = "screen",
    ) -> None:
        """Load a file or URL at a width in CSS pixels and return once it is laid out."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=1900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": colors}
        self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])
        url = page.resolve().as_uri() if isinstance(page, Path) else page
        failure = self.send("Page.navigate", url=url).get("errorText")
        assert failure is None, f"{url}: {failure}"
        self._wait_for("method", "Page.loadEventFired")

    def run_script(self, script: str) -> Any:
        """Run the body of an asynchronous function in the page and return what it returns."""
        expression = f"(async () => {{ {script} }})()"
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press_key(self, key: str, text: str = "") -> None:
        """Press and release a key, such as Tab, or Enter with the text that it types: a carriage return."""
        code = {"Tab": 9, "Enter": 13}[key]
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def print_page(self, **options: Any) -> bytes:
        """Return the page as a PDF; `options` as in DevTools' Page.printToPDF, lengths in inches."""
        return base64.b64decode(self.send("Page.printToPDF", **options)["data"])

    def _wait_for(self, key: str, value: object) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(self._read_message())
            if message.get(key) == value:
                return message

    def _read_message(self) -> bytes:
        message = bytearray()
        while not message.endswith(b"\0"):
            # Never past the end of a message, as no reader is there for the start of the next one.
            piece = self._answers.peek(1)  # type: ignore[attr-defined]
            assert piece, "Chromium has ended"
            message += self._answers.read(piece.find(b"\0") + 1 or len(piece))
        return bytes(message[:-1])


@contextmanager
def start_browser() -> Iterator[Browser]:
    """Start Chromium with a profile of its own, or skip the test where it is not installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    command_end, command_start = os.pipe()
    answer_end, answer_start = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # A shell gives both pipes the numbers that Chromium expects, in a process that has no other use of them.
        redirect = f'exec "$@" 3<&{command_end} 4>&{answer_start}'
        process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", program, *_FLAGS, f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(command_end, answer_start),
        )
        os.close(command_end)
        os.close(answer_start)
        with open(command_start, "wb") as commands, open(answer_end, "rb") as answers:
            browser = Browser(commands, answers)
            try:
                browser.attach()
                yield browser
            finally:
                process.terminate()
                process.wait(timeout=20)

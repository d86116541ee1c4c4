"""Drive a headless Chromium over a pipe with its DevTools protocol: nothing but Python needed."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """A Chromium on the PATH."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One tab, from which every event is kept.

    Attributes:
        events: (method, parameters) of what the browser reported.
    """

    def __init__(self, program: str, profile: Path) -> None:
        from_us, self._send = os.pipe()
        self._receive, to_us = os.pipe()
        # The protocol's pipes are file descriptors 3 and 4; only a shell can put them there.
        script = f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}'
        command = ["bash", "-c", script, program, *FLAGS, f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            command,
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._numbers, self._buffer, self._session = itertools.count(1), b"", ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._send)
        os.close(self._receive)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read(60.0)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._keep(answer)

    def open(self, page: Path) -> None:
        """Load a page from disk and wait until it has loaded; forget earlier events."""
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        self.wait(lambda: any(name == "Page.loadEventFired" for name, _ in self.events))

    def run(self, expression: str) -> Any:
        """Value of a JavaScript expression; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Type one key: a character, or by its name, such as `Enter`."""
        text = key if len(key) == 1 else {"Enter": "\r"}.get(key, "")
        code = {"Enter": 13, "Tab": 9, " ": 32}.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if kind == "keyDown" and text else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **typed
            )

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of the first element that is meant."""
        x, y = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const box = one.getBoundingClientRect();"
            "return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Screenshot of the window as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def wait(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until a condition holds, taking in events meanwhile."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("the page did not get there")
            if b"\0" in self._buffer or select.select([self._receive], [], [], 0.05)[0]:
                self._keep(self._read(1.0))

    def _keep(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self.events.append((message["method"], message.get("params", {})))

    def _read(self, seconds: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._receive], [], [], seconds)[0]:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self._receive, 1 << 16)
            if not data:
                raise ConnectionError("Chromium has ended")
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


def opened(tab: Tab, page: Path) -> Iterator[Tab]:
    """Show a page for the length of a test, and undo afterwards what the test has set."""
    tab.open(page)
    yield tab
    tab.call("Emulation.clearDeviceMetricsOverride")
    tab.call("Emulation.setEmulatedMedia", features=[])
    tab.call("Emulation.setScriptExecutionDisabled", value=False)


def complaints(tab: Tab) -> list[dict[str, Any]]:
    """Everything that would stand in the console."""
    names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    return [parameters for name, parameters in tab.events if name in names]


def requests(tab: Tab) -> list[str]:
    """Addresses that the page asked for, embedded data left out."""
    asked = [p["request"]["url"] for n, p in tab.events if n == "Network.requestWillBeSent"]
    return [address for address in asked if not address.startswith("data:")]


def role(node: dict[str, Any]) -> str:
    """Role of a node of the accessibility tree, in lower case."""
    return str(node.get("role", {}).get("value", "")).lower()

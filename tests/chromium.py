"""A headless Chromium driven through its DevTools protocol, over a pipe.

Clicks and keys are those of a user: Chromium finds out what lies under the pointer.
"""

import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATH = next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a new browser; a context manager.

    Args:
        url: to open.
        profile: empty folder.
        size: of the window, px.
        dark: prefer dark colours.

    Attributes:
        problems: what the page logged, threw or left unhandled.
    """

    def __init__(self, url, profile, size=(1200, 900), dark=False):
        self.url, self.problems, self._last = url, [], 0
        self._answers, self._events, self._rest = {}, [], b""
        command = [PATH, "--headless", "--no-sandbox", "--disable-gpu", "--mute-audio"]
        command += ["--no-first-run", "--disable-sync", "--hide-scrollbars"]
        command += ["--disable-background-networking", "--remote-debugging-pipe"]
        command += [f"--user-data-dir={profile}"]
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # The protocol's pipe is descriptors 3 and 4. High copies first: the new ends
        # may be 3 or 4 themselves.
        shell = 'exec "$@" 3<&"$IN" 4>&"$OUT"'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "chromium", *command],
            env=os.environ | {"IN": str(to_browser), "OUT": str(from_browser)},
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send(
            "Target.attachToTarget", targetId=target, flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        # A window has a smallest size, the emulated one has not.
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.send("Emulation.setDeviceMetricsOverride", **screen, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=url)
        self.wait(
            "document.readyState === 'complete' && location.href !== 'about:blank'"
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._session = None
        try:
            self.send("Browser.close")
        except (RuntimeError, OSError, TimeoutError):
            self._process.kill()
        self._process.wait(30)
        os.close(self._out)
        os.close(self._in)

    def send(self, method, **params):
        """Call a method of the protocol and return its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while self._last not in self._answers:
            if time.monotonic() > deadline:
                raise TimeoutError(method)
            self._read(deadline)
        answer = self._answers.pop(self._last)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self, deadline):
        ready, _, _ = select.select([self._in], [], [], deadline - time.monotonic())
        data = os.read(self._in, 1 << 20) if ready else b""
        if not data:
            raise RuntimeError("Chromium does not answer")
        *messages, self._rest = (self._rest + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
                continue
            method, params = message["method"], message["params"]
            if method == "Runtime.exceptionThrown":
                self.problems.append(params["exceptionDetails"])
            elif method == "Runtime.consoleAPICalled":
                self.problems.append(params["args"])
            elif method == "Log.entryAdded":
                self.problems.append(params["entry"])

    def evaluate(self, expression):
        """Value of JavaScript, awaited if it is a promise."""
        result = self.send(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def expect(self, expression, value, seconds=30):
        """Assert that JavaScript gives ``value``, now or soon."""
        deadline = time.monotonic() + seconds
        while (found := self.evaluate(expression)) != value:
            assert time.monotonic() < deadline, f"{expression}: {found} != {value}"
            time.sleep(0.02)

    def wait(self, condition):
        """Until JavaScript is true."""
        self.expect(f"Boolean({condition})", True)

    def click(self, selector, x=0.5):
        """Press and release the mouse on an element, in the middle of its height.

        Args:
            selector: of the element; waited for until it lies under the pointer.
            x: share of its width if < 1, else px from its left.
        """
        find = f"document.querySelector({json.dumps(selector)})"
        place = (
            f"(async () => {{ const e = {find}; if (!e?.checkVisibility()) return null;"
            " e.scrollIntoView({block: 'center', inline: 'center'});"
            " for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);"
            " const r = e.getBoundingClientRect();"
            f" const x = r.left + ({x} < 1 ? {x} * r.width : {x});"
            " const y = r.top + r.height / 2;"
            " return e.contains(document.elementFromPoint(x, y)) ? [x, y] : null; })()"
        )
        deadline = time.monotonic() + 30
        while not (found := self.evaluate(place)):
            assert time.monotonic() < deadline, f"nothing to click on: {selector}"
        where = dict(zip("xy", found, strict=True))
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            count = int(button == "left")
            event = {"type": kind, "button": button, "clickCount": count, **where}
            self.send("Input.dispatchMouseEvent", **event)

    def press(self, key):
        """Press a key, named as in JavaScript's ``event.key``."""
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key)

    def screenshot(self, path):
        """Save what is seen as PNG."""
        import base64

        data = self.send("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

"""The page in a real browser: every tab, two visitors at once, a reload, a microphone.

Debian's Chromium, or another that is called so, without network; skipped without one.
"""

import re
import shutil
import socket

import pytest
import soundfile
from visitors import TEXT, humming

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
WAIT = 90_000  # ms, for a machine that does other things, too
EXAMPLE = "yesterday susan"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def address(tiny_pack):
    """Of a page that is served until the tests are done."""
    pytest.importorskip("gradio")
    from espnet2_taste.demo.app import build, launch

    page = build(tiny_pack, other=tiny_pack)
    url = launch(page, port=free_port(), wait=False)[1]
    yield url
    page.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser whose microphone hums."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH")
    playwright = pytest.importorskip("playwright.sync_api")
    wav = tmp_path_factory.mktemp("microphone") / "voice.wav"
    soundfile.write(wav, humming(3.0), 16000)
    options = [
        "--no-sandbox",
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={wav}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no network
    ]
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield made
        made.close()


class Visitor:
    """One visitor's page."""

    def __init__(self, browser, address, **options):
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(WAIT)
        self.page, self.complaints = self.context.new_page(), []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._note)
        self.page.goto(address)

    def _note(self, message):
        # Gradio plays what its drawing of a waveform has no time for without drawing it
        slow = "Waveform load error" in message.text
        if message.type == "error" and not slow:
            self.complaints.append(message.text)

    def tab(self, name):
        self.page.get_by_role("tab", name=name, exact=True).click()

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def write(self, label, text):
        """Into the one of these fields that is in the open tab."""
        self.page.get_by_label(label).filter(visible=True).fill(text)

    def choose(self, label, name=EXAMPLE):
        """An example; wait until its sound is there."""
        players = self.page.get_by_role("button", name="Play", exact=True)
        players = players.filter(visible=True)
        before = players.count()
        self.page.get_by_label(f"{label}: an example").filter(visible=True).click()
        self.page.get_by_role("option").filter(has_text=name).first.click()
        players.nth(before).wait_for()

    def sounds(self, place, count):
        """The players in a place, when there are so many."""
        found = self.page.locator(f"#{place} audio")
        found.nth(count - 1).wait_for()
        assert found.count() == count
        return found

    def plays(self, sound):
        """Whether its clock advances."""
        sound.evaluate("(a) => a.play()")
        self.page.wait_for_function(
            "(a) => a.currentTime > 0.1", arg=sound.element_handle()
        )

    def leave(self):
        assert not self.complaints
        self.context.close()


@pytest.fixture
def visitor(browser, address):
    made = Visitor(browser, address)
    yield made
    made.leave()


def test_reconstruct_records_and_plays(visitor):
    visitor.page.get_by_role("button", name="Record", exact=True).first.click()
    stop = visitor.page.get_by_role("button", name="Stop", exact=True).first
    stop.wait_for()  # it records
    visitor.page.wait_for_timeout(1200)
    stop.click()
    visitor.page.get_by_role("button", name="Play", exact=True).first.wait_for()
    visitor.write("Recording: transcript", TEXT)
    visitor.press("Show what TASTE takes")
    sounds = visitor.sounds("reconstruct-sounds", 3)
    visitor.plays(sounds.nth(1))
    chips = visitor.page.locator("#reconstruct-words li")
    assert chips.count() == 4 and chips.first.locator("b").inner_text() == "set"
    summary = visitor.page.locator(".taste-summary").first.inner_text()
    assert re.search(r"4 words, 4 × 2 codes .* bits per second", summary)


def test_edit_mixes_and_undoes(visitor):
    visitor.tab("Edit")
    for label in ("First reading", "Second reading"):
        visitor.choose(label)
    visitor.press("Read both")
    word = visitor.page.locator("#edit-mixer button", has_text="window")
    word.click()
    assert word.get_attribute("aria-pressed") == "true"
    slider = visitor.page.get_by_label("susan: how much of the second reading, percent")
    slider.focus()
    for _ in range(3):
        visitor.page.keyboard.press("ArrowRight")
    visitor.press("Hear it")
    sounds = visitor.sounds("edit-sounds", 2)
    told = visitor.page.locator("#edit-sounds figcaption").nth(1)
    assert "susan 15%, window 100%" in told.inner_text()
    visitor.plays(sounds.nth(1))
    visitor.press("Undo the last change")
    told.filter(has_text="nothing changed yet").wait_for()
    assert slider.input_value() == "0"
    visitor.press("Undo the last change")
    visitor.page.get_by_role("alert").filter(has_text="nothing to undo").wait_for()


def test_voice_and_compare(visitor):
    visitor.tab("Voice")
    visitor.choose("Recording")
    visitor.choose("Other voice", "high and fast")
    visitor.press("Say it in the other voice")
    visitor.plays(visitor.sounds("voice-sounds", 3).nth(2))
    visitor.tab("Compare")
    visitor.choose("Recording")
    visitor.press("Compare the two models")
    first, second = (visitor.sounds(f"compare-sounds-{i}", 3) for i in (1, 2))
    assert first.nth(1).get_attribute("src") == second.nth(1).get_attribute("src")


def test_continue_is_heard_while_it_is_written(visitor):
    visitor.tab("Continue")
    visitor.write("Prompt: transcript", TEXT)
    visitor.press("Continue")
    clock = visitor.page.locator("#continue-player [data-clock]")
    clock.filter(has_text=re.compile(r"^(0\.[1-9]|[1-9])")).wait_for()
    visitor.page.locator("#continue-sounds audio").first.wait_for()
    assert visitor.page.locator("#continue-live li").count() == 3


def test_bad_input_is_told_beside_the_control(visitor):
    visitor.press("Show what TASTE takes")
    alert = visitor.page.get_by_role("alert")
    alert.filter(has_text="There is no recording yet").wait_for()
    visitor.choose("Recording")
    text = visitor.page.get_by_label("Recording: transcript").filter(visible=True)
    for bad, message in (
        ("", "does not recognise words"),
        ("a" * 10_000, "too long"),
        ("日本語 です", "has no known token"),
        ("../../etc/passwd <script>alert(1)</script>", "has no known token"),
    ):
        text.fill(bad)
        visitor.press("Show what TASTE takes")
        alert.filter(has_text=message).wait_for()
    text.fill("yesterday susan")
    visitor.press("Show what TASTE takes")
    visitor.sounds("reconstruct-sounds", 3)
    assert alert.count() == 0


def test_an_example_is_fetched_once(visitor):
    """A second answer would undo what was typed meanwhile."""
    asked = []
    visitor.page.on("request", lambda one: asked.append(one.url))
    visitor.choose("Recording")
    assert sum("queue/join" in url for url in asked) == 1


def test_two_visitors_and_a_reload(browser, address):
    both = [Visitor(browser, address) for _ in range(2)]
    texts = ["set the red lamp", "a lamp"]
    for visitor, text in zip(both, texts, strict=True):
        visitor.choose("Recording")
        visitor.write("Recording: transcript", text)
    for visitor in both:
        visitor.press("Show what TASTE takes")
    both[0].page.reload()  # in the middle: the other one gets what it asked for
    both[0].complaints.clear()  # of requests that it cut off
    both[1].sounds("reconstruct-sounds", 3)
    assert both[1].page.locator("#reconstruct-words b").all_inner_texts() == [
        "a",
        "lamp",
    ]
    both[0].choose("Recording")
    both[0].write("Recording: transcript", texts[0])
    both[0].press("Show what TASTE takes")
    both[0].sounds("reconstruct-sounds", 3)
    for visitor in both:
        visitor.leave()


def test_narrow_and_by_keyboard(browser, address):
    """At 400 px nothing is cut off; the tabs are reached without a mouse."""
    visitor = Visitor(browser, address, viewport={"width": 400, "height": 800})
    visitor.choose("Recording")
    visitor.press("Show what TASTE takes")
    visitor.sounds("reconstruct-sounds", 3)
    wide = "document.documentElement.scrollWidth"
    assert visitor.page.evaluate(wide) <= 400
    unnamed = visitor.page.evaluate(
        """() => [...document.querySelectorAll("button, input, textarea, audio")]
        .filter((one) => one.offsetParent && !(one.labels && one.labels.length)
            && !one.getAttribute("aria-label") && !one.innerText.trim()
            && !one.title && !one.getAttribute("aria-labelledby"))
        .map((one) => one.outerHTML.slice(0, 200))"""
    )
    assert not unnamed
    visitor.leave()


def test_microphone_refused(address, browser):
    """The page stays; a file still works."""
    visitor = Visitor(browser, address, permissions=[])
    visitor.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => "
        "Promise.reject(new DOMException('no', 'NotAllowedError')) }"
    )
    visitor.page.get_by_role("button", name="Record", exact=True).first.click()
    visitor.choose("Recording")
    visitor.press("Show what TASTE takes")
    visitor.sounds("reconstruct-sounds", 3)
    visitor.context.close()


def test_no_file_of_the_machine_is_served(address):
    """Not by its path, not as a recording, and nothing is told of the machine."""
    import httpx

    with httpx.Client(base_url=address, timeout=20) as client:
        for path in ("/etc/passwd", "../../etc/passwd", __file__):
            answer = client.get(f"/gradio_api/file={path}")
            assert answer.status_code in (403, 404)
        config = client.get("/config").json()
        event = next(
            one for one in config["dependencies"] if one["inputs"] and one["outputs"]
        )
        given = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
        data = [given, "set the lamp"][: len(event["inputs"])]
        body = {"data": data, "fn_index": event["id"], "session_hash": "test"}
        joined = client.post("/gradio_api/queue/join", json=body)
        assert joined.status_code in (200, 403, 404, 422)
        if joined.status_code == 200:
            stream = client.get("/gradio_api/queue/data?session_hash=test").text
            assert "root:" not in stream


def test_chat(browser, tiny_root, monkeypatch):
    """A written turn is answered with sound; a new dialogue forgets it."""
    from espnet2_taste.demo import app, continuing

    monkeypatch.setattr(continuing, "_drawn", lambda _: {"min_words": 3})
    page = app.build(tiny_root / "exp" / "chatty")
    visitor = Visitor(browser, app.launch(page, port=free_port(), wait=False)[1])
    visitor.tab("Chat")
    visitor.write("Your turn: transcript", TEXT)
    visitor.press("Say it")
    visitor.plays(visitor.sounds("chat-turns", 1))
    turns = visitor.page.locator(".taste-turn")
    assert turns.count() == 2 and TEXT in turns.first.inner_text()
    visitor.press("New dialogue")
    turns.first.wait_for(state="detached")
    visitor.leave()
    page.close()

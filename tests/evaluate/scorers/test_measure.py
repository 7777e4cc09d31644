import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet2_taste.evaluate.scorers import instruments
from espnet2_taste.evaluate.scorers.abs_meter import AbsMeter, Recording, Unavailable
from espnet2_taste.evaluate.scorers.instruments import Choice
from espnet2_taste.evaluate.scorers.measure import Job, measure, read_measures
from espnet2_taste.evaluate.scorers.measure_cache import MeasureCache


class Loudness(AbsMeter):
    """A meter that counts what it is asked."""

    name = "loudness"
    kinds = {"loudness": "ratio"}
    asked: list[str] = []

    def __init__(self, scale: float = 1.0, device: str = ""):
        self.scale = scale

    @property
    def identity(self):
        return f"loudness {self.scale}"

    def __call__(self, recordings):
        self.asked += [r.utt for r in recordings]
        results = []
        for recording in recordings:
            wav = soundfile.read(recording.entry)[0]
            results.append({"loudness": [float(np.sum(wav**2)), float(len(wav))]})
        return results


class AgainstReference(Loudness):
    name = "against"
    needs_reference = True


class Device(Loudness):
    name = "device"
    on_device = True
    batches: list[list[str]] = []

    def __call__(self, recordings):
        self.batches.append([r.utt for r in recordings])
        return super().__call__(recordings)


class Words(Loudness):
    name = "words"
    needs_words = True


class Absent(Loudness):
    name = "absent"

    def __init__(self):
        raise Unavailable("pip install absent")


class Broken(Loudness):
    name = "broken"

    def __call__(self, recordings):
        raise Unavailable("its program failed")


@pytest.fixture(autouse=True)
def meters(monkeypatch):
    classes = (Loudness, AgainstReference, Device, Words, Absent, Broken)
    known = {c.name: f"{__name__}.{c.__name__}" for c in classes}
    monkeypatch.setattr(instruments.meter_choices, "classes", known)
    monkeypatch.setattr(Loudness, "asked", [])
    monkeypatch.setattr(Device, "batches", [])


@pytest.fixture
def recordings(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for i in range(5):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(4000 + 800 * i), 16000)
        found.append(Recording(f"u{i}", str(path), ("a",), str(path)))
    return found


def run(folder, recordings, *names, row="taste:0", **conf):
    choices = [Choice.of("meter", name, **conf) for name in names]
    jobs = [Job(row, choice, recordings) for choice in choices]
    return measure(jobs, MeasureCache(folder), batch_size=2)


def asked():
    taken = sorted(Loudness.asked)
    Loudness.asked.clear()
    return taken


def test_only_what_changed_is_measured_again(tmp_path, recordings):
    everything = [r.utt for r in recordings]
    first = run(tmp_path, recordings, "loudness")
    assert asked() == everything and first.done == 5
    again = run(tmp_path, recordings, "loudness")
    assert asked() == [] and again.results == first.results and again.done == 0
    # Other audio under the same name; the same audio under another name.
    soundfile.write(recordings[1].entry, np.ones(100) / 2, 16000)
    recordings[2] = Recording("new", recordings[2].entry)
    changed = run(tmp_path, recordings, "loudness").results["taste:0", "loudness"]
    assert asked() == ["u1"] and changed["u1"]["loudness"] == [25.0, 100.0]
    assert list(changed) == ["u0", "u1", "new", "u3", "u4"]
    assert run(tmp_path, recordings, "loudness", scale=2.0).done == 5
    assert run(tmp_path, recordings, "loudness", row="other", scale=2.0).done == 5


def test_keys_hold_what_a_result_depends_on(tmp_path, recordings):
    for name in ("loudness", "words", "against"):
        run(tmp_path, recordings, name)
    asked()
    said = [Recording(r.utt, r.entry, ("b",), r.reference) for r in recordings]
    run(tmp_path, said, "loudness", "against")
    assert asked() == []
    run(tmp_path, said, "words")
    assert len(asked()) == 5
    first = recordings[0].entry
    compared = [Recording(r.utt, r.entry, r.words, first) for r in recordings]
    run(tmp_path, compared, "loudness", "words")
    asked()
    run(tmp_path, compared, "against")
    assert asked() == ["u1", "u2", "u3", "u4"]
    prompts = [Recording(r.utt, r.entry, r.words, first, False) for r in recordings]
    assert run(tmp_path, prompts, "against").done == 5


def test_device_work_is_batched_longest_first(tmp_path, recordings):
    run(tmp_path, recordings, "device", device="cpu")
    assert Device.batches == [["u4", "u3"], ["u2", "u1"], ["u0"]]


def test_killed_half_way_keeps_what_was_done(tmp_path, recordings, monkeypatch):
    def die(self, some):
        if "u2" in [r.utt for r in some]:
            raise KeyboardInterrupt
        return Loudness.__call__(self, some)

    with monkeypatch.context() as patched:
        patched.setattr(Device, "__call__", die)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, recordings, "device", device="cpu")
    asked()
    # The last line was being written when it died.
    path = tmp_path / "device" / "taste_seed0.jsonl"
    path.write_text(path.read_text() + '{"utt": "u2", "ke')
    found = run(tmp_path, recordings, "device", device="cpu")
    assert asked() == ["u0", "u1", "u2"]
    assert list(found.results["taste:0", "device"]) == [r.utt for r in recordings]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["utt"] for line in lines] == [r.utt for r in recordings]


def test_damaged_cache_is_measured_again(tmp_path, recordings, caplog):
    run(tmp_path, recordings, "loudness")
    path = tmp_path / "loudness" / "taste_seed0.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["[]", lines[0][:20], *lines[2:], "\0", '{"utt": 3}']))
    asked()
    run(tmp_path, recordings, "loudness")
    assert asked() == ["u0", "u1"] and "4 damaged lines" in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_disk_is_named(tmp_path):
    (tmp_path / "loudness").mkdir()
    (tmp_path / "loudness" / "row.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device: .*/row.jsonl"):
        MeasureCache(tmp_path).append("loudness", "row", [{"utt": "u", "key": "k"}])


def test_shards_are_found(tmp_path, recordings):
    for number, part in enumerate((recordings[:2], recordings[2:]), 1):
        run(tmp_path / f"output.{number}", part, "loudness")
    asked()
    found = run(tmp_path, recordings, "loudness")
    assert asked() == []
    whole = run(tmp_path / "whole", recordings, "loudness")
    assert found.results == whole.results


def test_processes_change_nothing(tmp_path, recordings):
    many = [Recording(f"{r.utt}-{i}", r.entry) for i in range(4) for r in recordings]
    jobs = [Job("row", Choice.of("pitch"), many)]
    one = measure(jobs, MeasureCache(tmp_path / "1"))
    two = measure(jobs, MeasureCache(tmp_path / "2"), nj=2)
    assert one.results == two.results and two.done == 20


def test_what_is_unavailable_stops_nothing_else(tmp_path, recordings):
    found = run(tmp_path, recordings, "absent", "broken", "loudness")
    assert found.unavailable == {
        "absent": "pip install absent",
        "broken": "its program failed",
    }
    assert [c.name for c in found.of_axis("meter")] == ["loudness"]
    assert found.identities() == {"loudness": "loudness 1.0"}
    with pytest.raises(ValueError, match="meter loudness: .*no option shape"):
        run(tmp_path, recordings, "loudness", shape=1)


def test_unreadable_audio_is_a_failure(tmp_path, recordings):
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.array([0.1, np.nan] * 3000), 16000, "FLOAT")
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "short.wav", np.zeros(99), 16000)
    names = ("nan", "text", "gone", "lost", "empty", "short")
    bad = [Recording(n, str(tmp_path / f"{n}.wav"), ("the",)) for n in names]
    choices = [Choice.of("pitch"), Choice.of("aligner", "pocketsphinx")]
    choices.append(Choice.of("recogniser", "pocketsphinx"))
    jobs = [Job("row", choice, [*bad, recordings[0]]) for choice in choices]
    measure(jobs, MeasureCache(tmp_path / "cache"))
    found = read_measures(tmp_path / "cache", "row")
    assert {utt: m.failure for utt, m in found.items() if utt in names} == {
        "nan": "unreadable audio",
        "text": "unreadable audio",
        "gone": "unreadable audio",
        "lost": "unreadable audio",
        "empty": "no audio",
        "short": "no audio",
    }
    assert found["nan"].seconds == 0 and found["short"].seconds == 99 / 16000
    assert found["u0"].words == ["a"] and len(found["u0"].f0) == 26
    assert list(found) == [*names, "u0"]  # missing ones have the same key
    assert read_measures(tmp_path / "cache", "nobody") == {}

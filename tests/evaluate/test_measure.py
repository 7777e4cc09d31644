import json

import numpy as np
import pytest
import soundfile

from espnet2_taste.asr.pocketsphinx_aligner import PocketsphinxAligner
from espnet2_taste.asr.pocketsphinx_recogniser import PocketsphinxRecogniser
from espnet2_taste.asr.recording import Recording, Unavailable
from espnet2_taste.evaluate.measure import measure, read_measures
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.scorers import reading
from espnet2_taste.evaluate.scorers.abs_scorer import AbsScorer, Column
from espnet2_taste.evaluate.scorers.frames import FrameScorer
from espnet2_taste.evaluate.scorers.pitch import PitchScorer
from espnet2_taste.evaluate.scorers.times import TimesScorer
from espnet2_taste.evaluate.scorers.words import WordsScorer
from espnet2_taste.units.world import f0_contour


class Loudness(AbsScorer):
    """A meter that counts what it is asked."""

    name = "loudness"
    columns = (Column("loudness", "Loudness", "mean square"),)
    asked: list[str] = []

    def __init__(self, scale: float = 1.0):
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


class Broken(Loudness):
    name = "broken"

    def __call__(self, recordings):
        raise Unavailable("its program failed")


CLASSES = {c.name: c for c in (Loudness, AgainstReference, Device, Words, Broken)}


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
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
    """Results by scorer, what is unavailable, and how many were measured."""
    one = Row(*row.partition(":")[::2], recordings=recordings)
    one.scorers = [CLASSES[name](**conf) for name in names]
    unavailable, done = measure([one], folder, batch_size=2)
    return one.measured, unavailable, done


def asked():
    taken = sorted(Loudness.asked)
    Loudness.asked.clear()
    return taken


def test_only_what_changed_is_measured_again(tmp_path, recordings):
    everything = [r.utt for r in recordings]
    first, _, done = run(tmp_path, recordings, "loudness")
    assert asked() == everything and done == 5
    again, _, done = run(tmp_path, recordings, "loudness")
    assert asked() == [] and again == first and done == 0
    # Other audio under the same name; the same audio under another id.
    soundfile.write(recordings[1].entry, np.ones(100) / 2, 16000)
    recordings[2] = Recording("new", recordings[2].entry)
    changed = run(tmp_path, recordings, "loudness")[0]["loudness"]
    assert asked() == ["new", "u1"] and changed["u1"]["loudness"] == [25.0, 100.0]
    assert list(changed) == ["u0", "u1", "new", "u3", "u4"]
    assert run(tmp_path, recordings, "loudness", scale=2.0)[2] == 5
    assert run(tmp_path, recordings, "loudness", row="other", scale=2.0)[2] == 5


def test_marks_hold_what_a_result_depends_on(tmp_path, recordings):
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
    assert run(tmp_path, prompts, "against")[2] == 5


def test_identities_are_asked_once(tmp_path, recordings, monkeypatch):
    """A digest of weights takes seconds."""
    counted = []
    monkeypatch.setattr(
        Loudness, "identity", property(lambda self: counted.append(1) or "loud")
    )
    scorer = Loudness()
    rows = [Row(name, recordings=recordings, scorers=[scorer]) for name in "abc"]
    measure(rows, tmp_path)
    assert len(counted) == 1


def test_device_work_is_batched_longest_first(tmp_path, recordings):
    run(tmp_path, recordings, "device")
    assert Device.batches == [["u4", "u3"], ["u2", "u1"], ["u0"]]


def test_killed_half_way_keeps_what_was_done(tmp_path, recordings, monkeypatch):
    def die(self, some):
        if "u2" in [r.utt for r in some]:
            raise KeyboardInterrupt
        return Loudness.__call__(self, some)

    with monkeypatch.context() as patched:
        patched.setattr(Device, "__call__", die)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, recordings, "device")
    asked()
    # The last line was being written when it died.
    path = tmp_path / "device" / "taste_seed0.jsonl"
    path.write_text(path.read_text() + '{"utt": "u2", "ke')
    found = run(tmp_path, recordings, "device")
    assert asked() == ["u0", "u1", "u2"]
    assert list(found[0]["device"]) == [r.utt for r in recordings]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["utt"] for line in lines] == [r.utt for r in recordings]


def test_damaged_lines_are_measured_again(tmp_path, recordings, caplog):
    run(tmp_path, recordings, "loudness")
    path = tmp_path / "loudness" / "taste_seed0.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["[]", lines[0][:20], *lines[2:], "\0", '{"utt": 3}']))
    asked()
    run(tmp_path, recordings, "loudness")
    assert asked() == ["u0", "u1"] and caplog.text.count("a damaged line") == 4


def test_shards_are_found(tmp_path, recordings):
    for number, part in enumerate((recordings[:2], recordings[2:]), 1):
        run(tmp_path / f"output.{number}", part, "loudness")
    asked()
    found, _, _ = run(tmp_path, recordings, "loudness")
    assert asked() == []
    again, _, _ = run(tmp_path / "output.3", recordings, "loudness")
    assert asked() == [] and again == found
    assert run(tmp_path / "whole", recordings, "loudness")[0] == found


def test_processes_change_nothing(tmp_path, recordings):
    many = [Recording(f"{r.utt}-{i}", r.entry) for i in range(4) for r in recordings]
    rows = [Row(name, recordings=many) for name in "ab"]
    for nj, row in enumerate(rows, 1):
        row.scorers = [PitchScorer()]
        assert measure([row], tmp_path, nj=nj)[1] == 20
    assert rows[0].measured == rows[1].measured


def test_pitch_is_searched_once_in_a_recording(tmp_path, recordings, monkeypatch):
    searched = []

    def search(wav, rate):
        searched.append(len(wav))
        return f0_contour(wav, rate)

    monkeypatch.setattr(reading, "f0_contour", search)
    reading._f0.cache_clear()
    rng = np.random.default_rng(1)
    many = []
    for i in range(70):  # more than are kept
        path = tmp_path / f"row{i}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(2000 + i), 16000)
        one = recordings[i % 5]
        many.append(Recording(f"v{i:02}", str(path), ("a",), one.entry, True))
    row = Row("taste", recordings=many)
    row.scorers = [FrameScorer(), PitchScorer()]
    measure([row], tmp_path / "measures")
    lengths = [4000 + 800 * i for i in range(5)] + [2000 + i for i in range(70)]
    assert sorted(searched) == sorted(lengths)


def test_what_is_unavailable_stops_nothing_else(tmp_path, recordings):
    found, unavailable, done = run(tmp_path, recordings, "broken", "loudness")
    assert unavailable == {Broken: "its program failed"}
    assert found["broken"] == {} and len(found["loudness"]) == done == 5


def test_unreadable_audio_is_a_failure(tmp_path, recordings):
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.array([0.1, np.nan] * 3000), 16000, "FLOAT")
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "short.wav", np.zeros(99), 16000)
    names = ("nan", "text", "gone", "lost", "empty", "short")
    bad = [Recording(n, str(tmp_path / f"{n}.wav"), ("the",)) for n in names]
    row = Row("row", recordings=[*bad, recordings[0]])
    row.scorers = [PitchScorer(), TimesScorer(PocketsphinxAligner())]
    row.scorers.append(WordsScorer(PocketsphinxRecogniser()))
    measure([row], tmp_path / "measures")
    found = read_measures(tmp_path / "measures", "row")
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
    assert list(found) == [*names, "u0"]  # missing ones have the same mark
    assert row.measured["words"]["nan"] == {"failure": "unreadable audio"}
    assert read_measures(tmp_path / "measures", "nobody") == {}

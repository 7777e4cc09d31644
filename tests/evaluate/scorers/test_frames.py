import numpy as np
import pytest
from voices import RATE, voice

from espnet2_taste.asr.recording import Recording
from espnet2_taste.evaluate.scorers import meter_choices
from espnet2_taste.evaluate.scorers.frames import (
    METRICS,
    FramePairs,
    Frames,
    FrameScorer,
    analyse,
    frame_energy,
)
from espnet2_taste.evaluate.statistics import Statistics

#: metric -> kind and sums
BY_KEY = {column.key: (column.kind, sums) for sums, column in METRICS.items()}


def frames(f0=(200.0,), energy=(0.0,), cepstrum=None):
    """Made frames; F0 in Hz, 0 where unvoiced."""
    f0 = np.array(f0, float)
    log_f0 = np.where(f0 > 0, np.log(np.maximum(f0, 1)), np.nan)
    cepstrum = np.zeros((len(f0), 2)) if cepstrum is None else np.array(cepstrum)
    energy = np.broadcast_to(np.array(energy, float), len(f0))
    return Frames(cepstrum, log_f0, energy)


def value(key, reference, row):
    """A metric of frames already paired."""
    kind, sums = BY_KEY[key]
    return Statistics(kind, ["u"], [sums(FramePairs(reference, row))]).value()


def measure(record, reference, row):
    """Every metric of two waveforms."""
    recording = Recording("u", record(row, "row"), (), record(reference, "reference"))
    found = FrameScorer()([recording])[0]
    return {
        key: Statistics(BY_KEY[key][0], ["u"], [sums]).value()
        for key, sums in found.items()
    }


def test_mcd_by_hand():
    a = frames([200] * 2, cepstrum=[[0.0, 0.0], [1.0, 1.0]])
    b = frames([200] * 2, cepstrum=[[0.3, 0.4], [1.0, 1.0]])
    # 10 / ln 10 * sqrt(2 * 0.25) in one frame, nothing in the other
    assert value("mcd", a, b) == pytest.approx(4.342944819 * 0.5**0.5 / 2)


def test_f0_metrics_by_hand():
    a = frames([200, 200, 200, 0, 0])
    b = frames([200 * 2 ** (2 / 12), 200 * 2 ** (-1 / 12), 0, 100, 0])
    assert value("f0_rmse", a, b) == pytest.approx(((4 + 1) / 2) ** 0.5)
    assert value("vde", a, b) == pytest.approx(2 / 5)


@pytest.mark.parametrize("factor, wrong", [(1.19, 0), (1.21, 1), (0.81, 0), (0.79, 1)])
def test_gross_errors_start_at_a_fifth(factor, wrong):
    a, b = frames([200, 200, 0]), frames([200, 200 * factor, 200])
    assert value("gpe", a, b) == wrong / 2


def test_f0_correlation_is_that_of_movements_within_utterances():
    rng = np.random.default_rng(0)
    sums, moves = [], ([], [])
    for level in (100, 250):  # a low and a high voice: alone worth r of almost 1
        x, y = rng.normal(size=(2, 50)) / 20
        pairs = FramePairs(frames(level * np.exp(x)), frames(level * np.exp(y)))
        sums.append(BY_KEY["f0_corr"][1](pairs))
        moves[0].extend(x - x.mean()), moves[1].extend(y - y.mean())
    found = Statistics("pearson", ["a", "b"], sums).value()
    assert found == pytest.approx(np.corrcoef(*moves)[0, 1])
    assert abs(found) < 0.5


def test_energy_metrics_by_hand():
    a, b = frames([0] * 3, [0, -10, -20]), frames([0] * 3, [3, -10, -16])
    assert value("energy_rmse", a, b) == pytest.approx((25 / 3) ** 0.5)
    direct = np.corrcoef([0, -10, -20], [3, -10, -16])[0, 1]
    assert value("energy_corr", a, b) == pytest.approx(direct)


def test_energy_of_a_sine_and_of_silence():
    sine = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    energy = frame_energy(np.concatenate([sine, np.zeros(RATE)]))
    assert energy[50] == pytest.approx(10 * np.log10(0.5**2 / 2), abs=0.01)
    assert energy[150] == pytest.approx(energy.max() - 40)
    assert len(energy) == 2 * RATE // 160 + 1


def test_warping_undoes_a_slower_pace():
    row = analyse(voice(200 + 50 * np.sin(np.arange(RATE) / 3000)))
    slow = row.take(np.repeat(np.arange(len(row.energy)), 2))
    pairs = FramePairs.warped(row, slow)
    assert len(pairs.row.energy) == len(slow.energy)
    for key, perfect in (("mcd", 0), ("f0_rmse", 0), ("vde", 0), ("energy_corr", 1)):
        kind, sums = BY_KEY[key]
        found = Statistics(kind, ["u"], [sums(pairs)]).value()
        assert found == pytest.approx(perfect, abs=1e-9)


def test_a_recording_against_itself(record):
    wav = voice(200 + 50 * np.sin(np.arange(RATE) / 3000))
    perfect = {"f0_corr": 1.0, "energy_corr": 1.0}
    assert measure(record, wav, wav) == pytest.approx(
        {key: perfect.get(key, 0.0) for key in BY_KEY}
    )


def test_two_semitones_apart(record):
    found = measure(record, voice(200.0), voice(200 * 2 ** (2 / 12)))
    assert found["f0_rmse"] == pytest.approx(2, abs=0.05)
    assert found["gpe"] == 0 and found["vde"] < 0.05


def test_half_the_vibrato_an_octave_higher(record):
    swing = np.sin(2 * np.pi * 2 * np.arange(RATE) / RATE) / 12  # a semitone
    found = measure(record, voice(150 * 2**swing), voice(300 * 2 ** (swing / 2)))
    assert found["f0_corr"] == pytest.approx(1, abs=0.1)
    assert found["f0_rmse"] == pytest.approx(12, abs=0.3) and found["gpe"] == 1


def test_a_quarter_too_high(record):
    f0 = np.where(np.arange(2 * RATE) < 1.5 * RATE, 200.0, 250.0)
    found = measure(record, voice(200.0, 2), voice(f0))
    assert found["gpe"] == pytest.approx(0.25, abs=0.04)


def test_whisper_in_place_of_a_voice(record):
    # One second of noise in both; the row's other second is noise as well.
    noise = 0.02 * np.random.default_rng(1).standard_normal(2 * RATE)
    reference = noise.copy()
    reference[:RATE] = voice(200.0)
    found = measure(record, reference, noise)
    assert found["vde"] > 0.3
    assert not {"f0_rmse", "f0_corr", "gpe"} & found.keys()  # no pair is voiced in both


def test_twice_as_loud(record):
    wav = voice(200.0) * (1.2 + np.sin(np.arange(RATE) / 2000))
    wav += 1e-3 * np.random.default_rng(3).standard_normal(RATE)
    found = measure(record, wav, wav * 2)
    assert found["energy_rmse"] == pytest.approx(20 * np.log10(2), abs=0.01)
    assert found["energy_corr"] == pytest.approx(1)
    assert found["mcd"] < 0.05  # loudness is none of its business


def test_mcd_of_a_filter_is_its_mel_cepstrum(record):
    rng = np.random.default_rng(2)
    source = 0.05 * rng.standard_normal(2 * RATE)
    filtered = np.convolve(source, [1, -0.5])[: len(source)]
    # ln |1 - 0.5 exp(-iw)|, integrated over the warped axis (see test_mel_cepstrum)
    warped = (np.arange(4096) + 0.5) * np.pi / 4096
    omega = warped - 2 * np.arctan2(0.42 * np.sin(warped), 1 + 0.42 * np.cos(warped))
    log_amplitude = np.log(np.abs(1 - 0.5 * np.exp(-1j * omega)))
    cepstrum = 2 * np.cos(np.outer(np.arange(1, 24), warped)) @ log_amplitude / 4096
    expected = 10 / np.log(10) * np.sqrt(2 * np.sum(cepstrum**2))
    a, b = (analyse(wav).cepstrum.mean(0) for wav in (source, filtered))
    measured = 10 / np.log(10) * np.sqrt(2 * np.sum((a - b) ** 2))
    assert measured == pytest.approx(expected, rel=0.05)


def test_other_rates_are_converted(record):
    import soxr

    wav = voice(200.0, 2)
    entry = record(soxr.resample(wav, RATE, 24000), "fast", 24000)
    found = FrameScorer()([Recording("u", entry, (), record(wav))])[0]
    assert found["f0_rmse"][0] / found["f0_rmse"][1] < 1e-3 and found["vde"][0] <= 2


def test_continuations_have_no_frames_to_compare(record):
    entry = record(voice(200.0))
    assert FrameScorer()([Recording("u", entry, (), entry, same_words=False)]) == [{}]


def test_bad_recordings(refuses):
    refuses(FrameScorer())


def test_long_recordings_are_refused_before_they_fill_the_memory(record, caplog):
    entry = record(np.full(61 * RATE, 0.1), "long")
    assert FrameScorer()([Recording("u", entry, (), entry)]) == [{}]
    assert "61.00 s" in caplog.text


def test_identity_and_kinds():
    meter = meter_choices.get_class("frames")()
    assert "pyworld" in meter.identity and len(meter.columns) == len(BY_KEY)

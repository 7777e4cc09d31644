import sys

import numpy as np
import pytest
import torch
from tiny_onnx import write_campplus, write_s3, write_s3_v2

from espnet2_taste.units import load_unit_extractor
from espnet2_taste.units.s3 import S3UnitExtractor

onnxruntime = pytest.importorskip("onnxruntime")
s3tokenizer = pytest.importorskip("s3tokenizer")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_s3(tmp_path_factory.mktemp("s3") / "speech_tokenizer_v1.onnx")


@pytest.fixture(scope="module")
def extractor(file):
    return load_unit_extractor("s3", str(file))


def noise(samples, seed=0):
    """Noise that grows louder: its units change with time."""
    torch.manual_seed(seed)
    return 0.2 * torch.randn(samples) * torch.linspace(0.02, 1, samples) ** 2


def reference(file, wav):
    """Units as the reference computes them: onnxruntime, one utterance."""
    session = onnxruntime.InferenceSession(str(file))
    mel = s3tokenizer.log_mel_spectrogram(wav).numpy()
    length = np.array([mel.shape[1]], np.int32)
    return session.run(None, {"feats": mel[None], "feats_length": length})[0][0]


def test_units_equal_onnxruntime(file, extractor):
    assert (extractor.num_units, extractor.unit_rate) == (48, 50.0)
    for samples in (16000, 33333):
        units = extractor([noise(samples)])[0]
        assert len(units.unique()) > 5
        np.testing.assert_array_equal(units.numpy(), reference(file, noise(samples)))


def test_mel_is_of_the_real_audio(extractor):
    whisper_audio = pytest.importorskip("whisper.audio")
    wav = noise(20000)
    expected = whisper_audio.log_mel_spectrogram(wav, n_mels=128)
    torch.testing.assert_close(extractor._mel(wav), expected)


def test_batch_equals_single(extractor):
    wavs = [noise(n, n) for n in (16000, 1, 0, 30001, 31 * 16000, 159, 480)]
    together = extractor(wavs)
    assert [len(units) for units in together] == [50, 1, 0, 94, 1550, 1, 2]
    for wav, units in zip(wavs, together, strict=True):
        assert units.dtype == torch.int64
        assert ((0 <= units) & (units < extractor.num_units)).all()
        assert torch.equal(extractor([wav])[0], units)
    assert extractor([]) == []


def test_long_audio_keeps_the_inner_part_of_every_window(extractor):
    wav = noise(53 * 16000)
    units, mel = extractor([wav])[0], extractor._mel(wav)
    parts = []
    for start in (0, 2600):
        part = mel[None, :, start : start + 3000]
        parts.append(extractor.model.quantize(part, torch.tensor([part.size(2)]))[0][0])
    assert len(units) == 2650
    assert torch.equal(units, torch.cat([parts[0][:1400], parts[1][100:]]))


@pytest.mark.parametrize("frames", [3000, 3001, 5201, 5600, 5601, 9999])
def test_windows_lose_nothing(extractor, frames):
    kept = []
    for start, end, part in extractor._windows(torch.arange(frames)[None]):
        assert part.size(1) <= 3000
        # The unit of frames 2 i and 2 i + 1 stands for itself.
        kept += (part[0, ::2] // 2).tolist()[start:end]
    assert kept == list(range((frames + 1) // 2))


def test_rate_comes_from_the_file_not_its_name(tmp_path):
    slow = write_s3(tmp_path / "speech_tokenizer_v1.onnx", stride=2)
    extractor = S3UnitExtractor.from_pretrained(str(tmp_path))
    assert extractor.unit_rate == 25.0
    for samples in (16000, 16100 + 160):
        units = extractor([noise(samples)])[0]
        np.testing.assert_array_equal(units.numpy(), reference(slow, noise(samples)))
    assert len(extractor([noise(31 * 16000)])[0]) == 775


def test_version_2(tmp_path):
    state = write_s3_v2(tmp_path / "speech_tokenizer_v2.onnx")
    extractor = S3UnitExtractor.from_pretrained(str(tmp_path))
    assert (extractor.num_units, extractor.unit_rate) == (6561, 25.0)
    loaded = extractor.model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    wavs = [noise(n, n) for n in (16000, 9000, 31 * 16000)]
    together = extractor(wavs)
    assert [len(units) for units in together] == [25, 14, 775]
    for wav, units in zip(wavs, together, strict=True):
        assert 0 <= units.min() and units.max() < 6561
        assert torch.equal(extractor([wav])[0], units)


def test_a_name_is_downloaded_and_nothing_else(monkeypatch, extractor, tmp_path):
    asked = []

    def load_model(name):
        asked.append(name)
        return extractor.model

    monkeypatch.setattr(s3tokenizer, "load_model", load_model)
    load_unit_extractor("s3", "speech_tokenizer_v1")
    assert asked == ["speech_tokenizer_v1"]
    for path in ("nowhere.onnx", str(tmp_path), "speech_tokenizer_v3_25hz"):
        with pytest.raises(FileNotFoundError, match="names to download: speech_tok"):
            load_unit_extractor("s3", path)
    assert asked == ["speech_tokenizer_v1"]


def test_foreign_files_are_refused_in_one_line(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    write_campplus(tmp_path / "speaker.onnx")
    for name in ("text", "speaker"):
        with pytest.raises(ValueError, match=f"{name}.onnx is no S3 tok") as error:
            load_unit_extractor("s3", str(tmp_path / f"{name}.onnx"))
        assert "\n" not in str(error.value)


def test_missing_package_names_its_extra(monkeypatch, file):
    monkeypatch.setitem(sys.modules, "s3tokenizer", None)
    with pytest.raises(RuntimeError, match=r"s3tokenizer is not .*taste\[onnx\]"):
        load_unit_extractor("s3", str(file))

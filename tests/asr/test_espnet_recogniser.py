"""Recogniser and aligner on an ESPnet CTC model (imports of ESPnet take 10 s)."""

from argparse import Namespace

import numpy as np
import pytest
import torch
import yaml
from tiny_asr import TOKENS, save_asr

from espnet2_taste.asr.abs_aligner import AlignmentError
from espnet2_taste.asr.aligners import aligner_choices
from espnet2_taste.asr.ctc_aligner import CTCAligner
from espnet2_taste.asr.recognisers import load_recogniser
from espnet2_taste.asr.recording import Recording, Unavailable


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_asr(tmp_path_factory.mktemp("asr") / "tiny")


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return [0.1 * rng.normal(size=n).astype(np.float32) for n in (9000, 16000)]


def test_recogniser_is_espnets_own(folder, noise):
    from espnet2.bin.asr_inference import Speech2Text

    conf = {"ctc_weight": 1.0, "beam_size": 2}
    recognise = load_recogniser("espnet", str(folder), **conf)
    assert "tiny" in recognise.identity and "ctc_weight 1.0" in recognise.identity
    texts = recognise([*noise, np.zeros(1000, np.float32)])
    direct = Speech2Text(
        str(folder / "config.yaml"), str(folder / "valid.loss.best.pth"), **conf
    )
    assert texts == [direct(wav)[0][0] for wav in noise] + [""]
    assert any(texts)


def test_aligner_puts_words_where_ctc_does(folder, noise):
    align = aligner_choices.get_class("espnet")(str(folder))
    recordings = [
        Recording("a", "", ("ab", "c")),
        Recording("b", "", ("set", "the", "lamp")),
        Recording("c", "", ("many",) * 30),
    ]
    wavs = [*noise, noise[0]]
    found = align(recordings, wavs)
    assert isinstance(found[2], AlignmentError) and str(found[2]) == "not alignable"
    for recording, wav, times in zip(recordings, wavs, found[:2], strict=False):
        assert len(times.starts) == len(recording.words)
        assert (times.durations > 0).all() and (np.diff(times.starts) > 0).all()
        assert times.starts[-1] + times.durations[-1] <= len(wav) / 16000 + 1e-9
    alone = align(recordings[1:2], wavs[1:2])[0]
    assert alone.starts == pytest.approx(found[1].starts)
    capitals = align([Recording("a", "", ("AB", "C"))], wavs[:1])[0]
    assert capitals.starts == pytest.approx(found[0].starts)
    assert len(TOKENS) == 30 and "ESPnet" in align.identity


def test_aligner_has_the_frontend_of_the_asr_model(noise, tmp_path):
    path = save_asr(tmp_path, "mel_pitch")
    files = (str(path / "config.yaml"), str(path / "valid.loss.best.pth"))
    found = CTCAligner(*files).word_spans(noise, [["ab", "c"], ["set"]])
    (first, sure), (second, _) = found
    assert 0 < sure <= 1
    assert 0 <= first[0, 0] < first[0, 1] < first[1, 0] < 9000 / 16000
    assert second.shape == (1, 2) and second[0, 0] < 1


def test_a_recogniser_trained_at_even_level(folder, noise, tmp_path):
    """Trained in batches as alone, and opened by ESPnet's own class."""
    from espnet2_taste.tasks.asr import ResamplingASRTask

    args = yaml.safe_load((folder / "config.yaml").read_text())
    args["frontend_conf"]["even_level"] = True
    model = ResamplingASRTask.build_model(Namespace(**args)).eval()
    lengths = torch.tensor([len(wav) for wav in noise])
    wavs = [torch.from_numpy(wav) for wav in noise]
    speech = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    together, _ = model.encode(speech, lengths)
    alone, (size,) = model.encode(wavs[0][None], lengths[:1])
    torch.testing.assert_close(together[0, :size], alone[0], atol=1e-5, rtol=1e-5)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(args))
    torch.save(model.state_dict(), tmp_path / "valid.loss.best.pth")
    recognise = load_recogniser("espnet", str(tmp_path), ctc_weight=1.0, beam_size=2)
    quiet = [0.1 * wav for wav in noise]
    assert recognise(noise) == recognise(quiet)


def test_other_weights_are_another_identity(folder, tmp_path):
    state = torch.load(folder / "valid.loss.best.pth", weights_only=True)
    (tmp_path / "config.yaml").write_text((folder / "config.yaml").read_text())
    torch.save({k: v * 2 for k, v in state.items()}, tmp_path / "valid.loss.best.pth")
    for make in (
        lambda path: load_recogniser("espnet", str(path)),
        lambda path: aligner_choices.get_class("espnet")(str(path)),
    ):
        assert make(folder).identity != make(tmp_path).identity


def test_another_kind_of_model(folder, noise, tmp_path):
    (tmp_path / "config.yaml").write_text("encoder: none\n")
    (tmp_path / "a.pth").write_bytes((folder / "valid.loss.best.pth").read_bytes())
    recognise = load_recogniser("espnet", str(tmp_path / "a.pth"))
    with pytest.raises(ValueError, match="is no ASR model of ESPnet"):
        recognise(noise)


def test_models_that_are_not_here(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no .pth file"):
        load_recogniser("espnet", str(tmp_path))
    (tmp_path / "a.pth").write_text("")
    with pytest.raises(FileNotFoundError, match="config.yaml beside a.pth"):
        load_recogniser("espnet", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="aligner: no file .*config.yaml"):
        aligner_choices.get_class("espnet")(str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match="ESPnet model nobody/nothing"):
        load_recogniser("espnet", "nobody/nothing", cache_dir=str(tmp_path / "cache"))

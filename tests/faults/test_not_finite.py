"""NaN, silence, level. What is no number comes through no door; an alignment
says how sure it is; the small front end does not hear how loud a recording is."""

import itertools
import logging
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from tiny_asr import save_ctc
from tiny_system import TEXT

from espnet2_taste.asr.log_mel import LEVEL, LogMelFrontend, at_level
from espnet2_taste.asr.mel_pitch import MelPitchFrontend
from espnet2_taste.bin import align, extract_speakers
from espnet2_taste.inference import SpeechToTaste, TasteToSpeech
from espnet2_taste.io.arks import read_arks
from espnet2_taste.io.audio import as_speech, write_wav
from espnet2_taste.io.tables import read_table
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taste.tokenizer.espnet_encoder import EspnetEncoder

BAD = [np.nan, np.inf, -np.inf]
PLACES = [0, 1, 500, -1]


def spoiled(array, value, place):
    """A copy with one bad value."""
    array = array.clone() if torch.is_tensor(array) else array.copy()
    array.reshape(-1)[place] = value
    return array


@pytest.mark.parametrize("value, place", itertools.product(BAD, PLACES))
def test_recordings_and_arrays(value, place, tmp_path):
    """From a program, to a file, from an ark."""
    wav = spoiled(np.zeros(1000, np.float32), value, place)
    with pytest.raises(ValueError, match="^the wav holds values that are no numbers"):
        as_speech(wav, "the wav")
    with pytest.raises(ValueError, match="x.wav holds values that are no numbers"):
        write_wav(tmp_path / "x.wav", wav, 16000)
    assert not list(tmp_path.iterdir())
    kaldiio.save_ark(str(tmp_path / "a.ark"), {"u": wav}, str(tmp_path / "a.scp"))
    with pytest.raises(ValueError, match="a.scp: u holds values that are no numbers"):
        read_arks(tmp_path / "a.scp")["u"]


@pytest.mark.parametrize("value", BAD)
def test_the_classes_of_inference(tiny_system, value):
    """Speech, speakers, and models: every one at every place."""
    tokenizer = SpeechToTaste.from_pretrained("exp/taste")
    speak = TasteToSpeech.from_pretrained("exp/taste")
    wav, speaker = np.full(8000, 0.1, np.float32), np.ones(8, np.float32)
    codes = tokenizer(wav, TEXT).codes
    for place in PLACES:
        bad = spoiled(wav, value, place)
        for call in (
            lambda bad=bad: tokenizer.batch_tokenize([wav, bad], [TEXT] * 2),
            lambda bad=bad: speak.batch_synthesize(
                [TEXT] * 2, [speaker] * 2, speech=[wav, bad]
            ),
        ):
            with pytest.raises(ValueError, match="utterance 1: speech holds values"):
                call()
    for place in range(8):
        bad = spoiled(speaker, value, place)
        with pytest.raises(ValueError, match="utterance 0: spk_emb holds values"):
            speak(TEXT, bad, codes)


def parts(root):
    """Unit extractor, speaker encoder and vocoder of a tiny system."""
    from espnet2_taste.speaker import load_speaker_encoder
    from espnet2_taste.units import load_unit_extractor
    from espnet2_taste.vocoder import load_vocoder

    return (
        load_unit_extractor("world_vq", root / "units"),
        load_speaker_encoder("xvector", root / "speaker"),
        load_vocoder("world_vq", root / "units"),
    )


def test_parts(tiny_system):
    units, speaker, vocoder = parts(tiny_system / "exp")
    for value, place in itertools.product(BAD, PLACES):
        wav = spoiled(torch.zeros(16000), value, place)
        for extract in (units, speaker):
            with pytest.raises(ValueError, match="speech holds values"):
                extract([torch.zeros(16000), wav])
    for value, place in itertools.product(BAD, range(8)):
        vectors = torch.stack([torch.ones(8), spoiled(torch.ones(8), value, place)])
        with pytest.raises(ValueError, match="embedding of utterance 1 holds values"):
            vocoder([torch.arange(4)] * 2, vectors)


def test_no_vector_poisons_its_speakers_mean(tiny_data, tmp_path, caplog):
    vectors = {k: np.array(v) for k, v in read_arks(tiny_data / "spk_emb.scp").items()}
    vectors["utt0"][3] = np.nan
    kaldiio.save_ark(str(tmp_path / "e.ark"), vectors, str(tmp_path / "e.scp"))
    options = ["--average", "speaker", "--data_dir", str(tiny_data)]
    options += ["--spk_emb", str(tmp_path / "e.scp"), "--output_dir"]
    with caplog.at_level(logging.INFO):
        extract_speakers.main([*options, str(tmp_path / "out")])
    assert "5 utterances of 2 speakers, 1 skipped: utt0" in caplog.text
    means = read_arks(tmp_path / "out" / "spk_emb.scp")
    assert len(means) == 5
    want = (vectors["utt2"] + vectors["utt4"]) / 2
    np.testing.assert_allclose(means["utt2"], want / np.linalg.norm(want), atol=1e-6)


def test_alignments_say_how_sure_they_are(tiny_data, tmp_path, caplog, monkeypatch):
    """Of one utterance the recogniser is far less sure than of the others."""
    from espnet2_taste.asr.ctc_aligner import CTCAligner

    asr = save_ctc(tmp_path / "asr")
    make = CTCAligner.word_spans

    def doubt(self, waves, words, spaced):
        found = make(self, waves, words, spaced)
        return [
            (starts, 1e-9 if words[i][0] == "read" else confidence)
            for i, (starts, confidence) in enumerate(found)
        ]

    monkeypatch.setattr(CTCAligner, "word_spans", doubt)
    model = ["--asr_config", f"{asr}/config.yaml", "--asr_model", f"{asr}/model.pth"]
    out = ["--data_dir", str(tiny_data), "--output_dir", str(tmp_path / "out")]
    for second in ([], ["--speaker_mean"]):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            align.main([*out, *(second or model)])
        assert "median of 6 utterances), 1e-09 at the worst (utt2); 1 below" in (
            caplog.text
        )
    table = read_table(tmp_path / "out" / "confidence")
    assert len(table) == 6 and float(table["utt2"]) == 1e-9
    assert all(0 < float(value) <= 1 for value in table.values())


def test_integers_are_scaled(tiny_system, tmp_path):
    tokenizer = SpeechToTaste.from_pretrained("exp/taste")
    wav = 0.2 * np.random.default_rng(0).standard_normal(8000)
    soundfile.write(tmp_path / "a.wav", wav, 16000, "PCM_16")
    want = tokenizer(soundfile.read(tmp_path / "a.wav", dtype="float32")[0], TEXT).codes
    for dtype in ("int16", "int32", "float64"):
        given = soundfile.read(tmp_path / "a.wav", dtype=dtype)[0]
        assert torch.equal(tokenizer(given, TEXT).codes, want)
        assert torch.equal(tokenizer(torch.from_numpy(given), TEXT).codes, want)
    given = soundfile.read(tmp_path / "a.wav", dtype="int16")[0]
    for dtype in (np.float32, np.float64):  # integers made floats
        with pytest.raises(ValueError, match="utterance 0: speech reaches .*32768"):
            tokenizer(given.astype(dtype), TEXT)
    for dtype in (np.uint8, np.uint16, bool, complex):
        with pytest.raises(ValueError, match="utterance 0: speech must be floats or"):
            tokenizer(given.astype(dtype), TEXT)


CHANGES = {
    "-3 dB": lambda x: x * 10 ** (-3 / 20),
    "-6 dB": lambda x: x / 2,
    "-30 dB": lambda x: x * 10 ** (-30 / 20),
    "+12 dB": lambda x: x * 4,
    "DC 0.01": lambda x: x + 0.01,
    "DC -0.3": lambda x: x - 0.3,
    "inverted": lambda x: -x,
    "all": lambda x: -0.1 - x / 3,
}


def voice(length=20000):
    """A voice with pauses of digital silence."""
    time = torch.arange(length) / 16000
    wav = sum((2 * torch.pi * 140 * k * time).sin() / k for k in range(1, 20))
    return 0.2 * wav * ((time % 0.4) < 0.3)


@pytest.mark.parametrize("change", CHANGES)
def test_even_level(change):
    """Louder, quieter, offset: the same features, in a batch, too. Pitch may differ in
    a frame that holds the first or last samples of a voice only."""
    wav, changed = voice(), CHANGES[change](voice())
    lengths = torch.tensor([20000, 15000])
    pair, other = (torch.stack([x, x]) for x in (wav, changed))
    for make in (LogMelFrontend, MelPitchFrontend):
        even, plain = make(even_level=True), make()
        feats, frames = even(pair, lengths)
        old = plain(pair, lengths)[0]
        assert torch.equal(make(even_level=False)(pair, lengths)[0], old)
        differs = (even(other, lengths)[0] - feats).abs() > 2e-3
        assert not differs[..., :80].any() and differs.float().mean() < 3e-4
        assert not feats[1, frames[1] :].any()
        if change != "inverted":
            assert (plain(other, lengths)[0] - old).abs().max() > 0.1


def test_level_of_what_is_there():
    wav = torch.stack([voice(), torch.zeros(20000), torch.full((20000,), 0.3)])
    lengths = torch.tensor([20000, 20000, 700])
    level = at_level(wav, lengths)
    own = length_mask(lengths, 20000)
    assert level[0].square().mean().sqrt() == pytest.approx(LEVEL, rel=1e-4)
    assert level.isfinite().all() and not level[~own].any()
    assert level[1:].abs().max() < 1e-5  # silence stays silence, and so does DC


def test_a_recogniser_of_other_features_is_refused(tmp_path):
    folder = save_ctc(tmp_path)
    conf = {"asr_config": str(folder / "config.yaml")}
    even, plain = (MelPitchFrontend(n_mels=20, even_level=e) for e in (True, False))
    assert EspnetEncoder.resolve_conf(conf, plain)["asr_input_size"] == 20
    with pytest.raises(ValueError, match="was trained with even_level False"):
        EspnetEncoder.resolve_conf(conf, even)


def test_a_bad_recording_is_skipped_and_named(tiny_data, tiny_system, tmp_path, caplog):
    """Stage 3 goes on without it, and its speaker's embedding is not of it."""
    folder = tmp_path / "data"
    shutil.copytree(tiny_data, folder)
    table = read_table(folder / "wav.scp")
    wav, rate = soundfile.read(table["utt1"])
    wav[100] = np.nan
    soundfile.write(folder / "bad.wav", wav, rate, "FLOAT")
    lines = [
        f"{k} {folder / 'bad.wav' if k == 'utt1' else v}" for k, v in table.items()
    ]
    (folder / "wav.scp").write_text("\n".join(lines) + "\n")
    extract_speakers.main(
        ["--model", "exp/speaker", "--data_dir", str(folder)]
        + ["--output_dir", str(tmp_path / "spk")]
    )
    assert len(read_table(tmp_path / "spk" / "spk_emb.scp")) == 5
    assert "skipped utt1: " in caplog.text

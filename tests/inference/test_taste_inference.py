import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet2_taste.inference.speech_to_taste import SpeechToTaste
from espnet2_taste.inference.taste_to_speech import TasteToSpeech
from espnet2_taste.io.tables import read_table
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling


@pytest.fixture(scope="module")
def utterances(tiny_data):
    wavs, texts = (read_table(tiny_data / name) for name in ("wav.scp", "text"))
    waves = [soundfile.read(wavs[key], dtype="float32")[0] for key in wavs]
    return waves, list(texts.values())


@pytest.fixture(scope="module")
def tokenizer(tiny_taste):
    return SpeechToTaste.from_pretrained(str(tiny_taste))


@pytest.fixture(scope="module")
def synthesizer(tiny_taste):
    out = TasteToSpeech.from_pretrained(str(tiny_taste))
    out.sampling = Sampling(top_k=5, seed=3)
    return out


def test_tokenising_a_batch_equals_one_by_one(tokenizer, utterances):
    batch = tokenizer.batch_tokenize(*utterances, need_attention=True)
    for tokens, wav, text in zip(batch, *utterances, strict=True):
        single = tokenizer(wav, text, need_attention=True)
        assert torch.equal(single.codes, tokens.codes)
        assert tokens.codes.shape == (len(text.split()), 2)
        assert tokens.codes.min() >= 0
        torch.testing.assert_close(single.attention, tokens.attention)
        torch.testing.assert_close(
            tokens.attention.sum(1), torch.ones(len(tokens.words))
        )


def test_an_hour_goes_in_passes_of_bounded_length(tiny_taste, utterances, monkeypatch):
    """As many samples at once as allowed, whatever comes; the codes stay the same."""
    tokenizer = SpeechToTaste.from_pretrained(tiny_taste, pass_s=12.0)
    wavs, texts = utterances
    times = 200 // len(wavs)
    passes, run = [], tokenizer.model.run_tokenizer

    def counted(speech, *others):
        passes.append(speech.shape)
        return run(speech, *others)

    monkeypatch.setattr(tokenizer.model, "run_tokenizer", counted)
    found = tokenizer.batch_tokenize(wavs * times, texts * times)
    assert len(found) == len(wavs) * times and len(passes) > 2
    assert max(batch * samples for batch, samples in passes) <= 12.0 * 16000
    assert min(batch for batch, _ in passes[:-1]) > 1
    tokenizer.pass_s = 600.0
    alone = tokenizer.batch_tokenize(wavs, texts)
    assert passes[-1][0] == len(wavs)
    for i, tokens in enumerate(found):
        want = alone[i % len(wavs)]
        assert tokens.words == want.words and tokens.codes.equal(want.codes)


def test_codes_of_what_the_model_hears(tokenizer, utterances, monkeypatch, caplog):
    """Without text: that of the CTC head, whose empty transcript has no codes."""
    from espnet2_taste.asr.ctc_decoding import Heard
    from espnet2_taste.taste.ctc_head import CTCHead

    waves, texts = utterances[0][:3], utterances[1][:3]
    with pytest.raises(ValueError, match="no CTC head .*: give the text"):
        tokenizer.batch_tokenize(waves, None)
    text = tokenizer.preprocess.tokenizer
    head = CTCHead(16, text.vocab_size)
    monkeypatch.setattr(tokenizer.model, "ctc", head)
    said = [text.encode_text(words) for words in texts]
    said[1] = []
    scores = [[0.5] * len(ids) for ids in said]
    found = [Heard(*pair) for pair in zip(said, scores, strict=True)]
    monkeypatch.setattr(head, "transcribe", lambda *_: found)
    heard = tokenizer.batch_tokenize(waves, None, names=["a", "b", "c"])
    for i in (0, 2):
        given = tokenizer(waves[i], texts[i])
        assert heard[i].words == given.words and heard[i].confidence == scores[i]
        assert torch.equal(heard[i].codes, given.codes) and given.confidence is None
    assert heard[1].words == [] and heard[1].codes.shape == (0, 2)
    assert "b: no speech was heard; no codes" in caplog.text
    assert tokenizer.batch_tokenize([], None) == []


@pytest.mark.parametrize("condition", ["text", "codes", "latents", "speech"])
def test_synthesis_of_a_batch_equals_one_by_one(
    synthesizer, tokenizer, utterances, condition
):
    waves, texts = utterances
    spk_emb = np.random.default_rng(0).standard_normal((len(texts), 8), np.float32)
    extra = {
        "text": {},
        "codes": {"codes": [t.codes for t in tokenizer.batch_tokenize(waves, texts)]},
        "latents": {"latents": [np.ones((len(t.split()), 4)) for t in texts]},
        "speech": {"speech": waves},
    }[condition]
    seeds = list(range(len(texts)))
    batch = synthesizer.batch_synthesize(texts, spk_emb, item_seeds=seeds, **extra)
    for i, out in enumerate(batch):
        one = {name: value[i] for name, value in extra.items()}
        single = synthesizer(texts[i], spk_emb[i], seed=seeds[i], **one)
        assert torch.equal(single.units, out.units)
        assert len(out.units) >= len(texts[i].split())


def test_codes_that_do_not_fit_the_words_are_named(synthesizer):
    with pytest.raises(ValueError, match="utterance 0: 6 TASTE codes for 2 words"):
        synthesizer("red lamp", np.zeros(8), torch.zeros(3, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="utterance 0: TASTE codes of shape"):
        synthesizer("red lamp", np.zeros(8), torch.zeros(5, dtype=torch.long))


@pytest.mark.parametrize("code", [-1, 8])
def test_codes_of_another_codebook_are_named(synthesizer, code):
    codes = torch.full((2, 2), code)
    with pytest.raises(ValueError, match=f"codes from {code} to {code}, .* 0 to 7"):
        synthesizer("red lamp", np.zeros(8), codes)


def test_speaker_of_another_encoder_is_named(synthesizer):
    with pytest.raises(ValueError, match=r"utterance 0: .* \(5,\), .* takes \(8,\)"):
        synthesizer("red lamp", np.zeros(5))


@pytest.mark.parametrize("wav", [np.zeros(0), np.zeros((100, 2))])
def test_speech_that_is_no_mono_waveform(tokenizer, wav):
    with pytest.raises(ValueError, match="utterance 0: speech (has no|must be one)"):
        tokenizer(wav, "red lamp")


@pytest.mark.parametrize(
    "call,message",
    [
        ({"sample_rate": 44100}, "speech has 44100 Hz, the tokenizer takes 16000 Hz"),
        ({"text": " "}, "utterance 0: empty text"),
        ({"text": "\u4e2d"}, "utterance 0: word '\u4e2d' has no known token"),
        ({"speech": np.zeros(31 * 16000)}, "utterance 0: .*3[01].* s"),
        ({"speech": np.full(800, np.nan)}, "utterance 0: speech holds values that"),
    ],
)
def test_what_cannot_be_tokenised_is_named(tokenizer, call, message):
    good = {"speech": np.zeros(16000, np.float32), "text": "red lamp"}
    with pytest.raises(ValueError, match=message):
        tokenizer(**good | call)


def test_waveforms_and_transcripts_go_together(tokenizer):
    with pytest.raises(ValueError, match="1 speech, 2 text"):
        tokenizer.batch_tokenize([np.zeros(16000)], ["red", "lamp"])


def test_checkpoint_of_another_size_is_named(tiny_taste, tmp_path):
    config = yaml.safe_load((tiny_taste / "config.yaml").read_text())
    config["quantizer_conf"]["codebook_size"] = 9
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(RuntimeError, match=r"does not fit .*other shape.*\[1, 8, 4\]"):
        SpeechToTaste(tmp_path / "config.yaml", tiny_taste / "valid.acc.best.pth")


def test_folder_without_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no .pth file: name one"):
        SpeechToTaste.from_pretrained(str(tmp_path))
    (tmp_path / "config.json").touch()
    with pytest.raises(FileNotFoundError, match="is as published: python -m .*convert"):
        SpeechToTaste.from_pretrained(str(tmp_path))


def test_paths_to_nothing(tmp_path):
    for path in (f"{tmp_path}/gone", "./gone", "gone.zip"):
        with pytest.raises(FileNotFoundError, match=f"{path} does not exist"):
            SpeechToTaste.from_pretrained(path)
    with pytest.raises(FileNotFoundError, match="no training configuration at"):
        SpeechToTaste.from_pretrained("gone.pth")


def test_the_same_call_gives_the_same_speech(tiny_taste, utterances):
    synthesizer = TasteToSpeech.from_pretrained(str(tiny_taste))
    text = " ".join(utterances[1])
    drawn = [synthesizer(text, np.ones(8, np.float32), seed=s) for s in (3, 3, 4)]
    assert torch.equal(drawn[0].units, drawn[1].units)
    assert not torch.equal(drawn[0].units, drawn[2].units)

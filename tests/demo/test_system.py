"""What the page shows of a tiny system with random weights."""

import threading

import numpy as np
import pytest
import torch
from visitors import TEXT, humming

from espnet2_taste.demo.chips import chips_html
from espnet2_taste.demo.measures import Change
from espnet2_taste.demo.mixing import Mix, mixed
from espnet2_taste.demo.pictures import audio_uri, clips_html
from espnet2_taste.demo.recordings import Recording
from espnet2_taste.demo.system import System
from espnet2_taste.inference import TasteToSpeech


@pytest.fixture(scope="module")
def spoken(system):
    return system.take(Recording(humming(), 16000), TEXT)


def test_reconstruction_is_what_the_classes_make(system, spoken):
    clips, changed = system.reconstruct(spoken)
    assert [clip.title for clip in clips] == ["Original", "TASTE", "Average codes"]
    assert len(changed) == 4
    voice = torch.from_numpy(spoken.speaker)
    expected = TasteToSpeech.__call__(
        system.editor, TEXT, voice, codes=spoken.tokens.codes
    )
    assert np.array_equal(clips[1].wav[: len(expected.wav)], expected.wav.numpy())
    assert system.bits_per_second(spoken) == pytest.approx(4 * 2 * 3)
    html = clips_html(clips, "4 words")
    assert html.count("<audio") == html.count("<svg") == 3


def test_the_average_code_is_that_of_the_counts(system):
    quantizer = system.editor.model.quantizer
    counts = torch.rand(2, 8)
    before = [layer._codebook.cluster_size.clone() for layer in quantizer.rvq.layers]
    try:
        for layer, count in zip(quantizer.rvq.layers, counts, strict=True):
            layer._codebook.cluster_size.copy_(count[None])
        # many utterances whose codes are drawn by these counts
        shares = (counts / counts.sum(1, keepdim=True)).double()
        codes = torch.stack([torch.multinomial(p, 20000, True) for p in shares], 1)
        drawn = quantizer.codes_to_latent(codes).mean(0)
        assert torch.allclose(quantizer.average_latent(), drawn, atol=0.05)
    finally:
        for layer, count in zip(quantizer.rvq.layers, before, strict=True):
            layer._codebook.cluster_size.copy_(count)


def test_a_text_only_model_stands_beside(tiny_root, tiny_pack, spoken):
    other = System(tiny_pack, text_only=tiny_root / "exp" / "mute")
    clips, _ = other.reconstruct(spoken)
    assert clips[2].title == "Text only"


def test_visitors_at_once_get_their_own(system):
    """Eight threads, each with another recording: as one after the other."""
    recordings = [Recording(humming(0.6 + 0.1 * i, seed=i), 16000) for i in range(4)]

    def work(i):
        taken = system.take(recordings[i], TEXT)
        return system.say(TEXT, taken.speaker, system.latents(taken.tokens)).wav

    alone, found = [work(i) for i in range(4)], {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: work(i % 4)}))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[i], alone[i % 4]) for i in range(8))


def test_what_cannot_be_done_is_a_sentence(system, tiny_root, recording):
    with pytest.raises(ValueError, match="does not recognise words by itself"):
        system.hear(recording)
    with pytest.raises(ValueError, match="^Word '日本語' has no known token"):
        system.take(recording, "日本語 です")
    mute = System(tiny_root / "exp" / "mute")
    clips, changed = mute.reconstruct(mute.take(recording, TEXT))
    assert len(clips) == 1 and changed is None
    assert "no vocoder and no speaker" in mute.speech_missing
    assert "no TASLM" in mute.taslm_missing and not mute.chats
    with pytest.raises(ValueError, match="it cannot speak"):
        mute.say(TEXT, np.zeros(8, np.float32), None)
    with pytest.raises(ValueError, match="no packed model with a tokenizer"):
        System(tiny_root / "exp" / "taste")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        System(tiny_root / "exp" / "nothing.zip")


def test_a_recogniser_hears_where_the_model_does_not(tiny_pack, recording):
    from espnet2_taste.asr.abs_recogniser import AbsRecogniser
    from espnet2_taste.asr.transcript import Transcript

    class Same(AbsRecogniser):
        identity = "same"

        def transcribe(self, wavs):
            return [Transcript(TEXT if len(wav) == 16000 else "") for wav in wavs]

    listening = System(tiny_pack, recogniser=Same())
    assert listening.hear(recording) == TEXT
    with pytest.raises(ValueError, match="No words were heard"):
        listening.hear(Recording(humming(0.5), 16000))


def test_markup_of_visitors_is_text(system, spoken):
    bad = '<img src=x onerror="alert(1)">'
    from dataclasses import replace

    tokens = replace(spoken.tokens, words=[bad] * 4)
    clip = system.reconstruct(spoken)[0][0]
    measures = replace(clip.measures, words=[bad] * 4)
    clip = replace(clip, title=bad, note=bad, measures=measures)
    html = clips_html([clip], bad) + chips_html(tokens, [Change(1, 2)] * 4, bad)
    assert "<img src=x" not in html and 'onerror="' not in html


def test_sounds_are_wav_files():
    import base64
    import io

    import soundfile

    wav = humming(0.1)
    content = base64.b64decode(audio_uri(wav, 16000).partition(",")[2])
    found, rate = soundfile.read(io.BytesIO(content))
    assert rate == 16000 and np.abs(found - wav).max() < 1e-4


def test_mixing_between_exchanging_and_leaving(system, spoken):
    from espnet2_taste.inference.edit import exchange_words

    other = system.take(Recording(humming(1.4, 220, seed=3), 16000), TEXT)
    own, there = system.latents(spoken.tokens), system.latents(other.tokens)
    exchanged = exchange_words(spoken.tokens, other.tokens, [1, 3])[0]
    found = mixed(own, there, spoken.tokens.segments, [0, 1, 0, 1])
    assert torch.allclose(found, system.latents(exchanged))
    half = mixed(own, there, spoken.tokens.segments, [0.5] * 4)
    assert torch.allclose(half, (own + there) / 2)
    with pytest.raises(ValueError, match="do not say the same words"):
        mixed(own, there[:2], spoken.tokens.segments, [0] * 4)


def test_mix_remembers():
    mix = Mix.none(2).changed([0, 1]).changed([0.5, 1]).changed([0.5, 1])
    assert mix.undone().amounts == (0, 1)
    assert mix.undone().undone() == Mix.none(2) == Mix.none(2).undone()
    for bad in (None, [1], [0, 2], ["a", "b"], [float("nan"), 0], {"a": 1}):
        with pytest.raises(ValueError, match="not those of this sentence"):
            mix.changed(bad)

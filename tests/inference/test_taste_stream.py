"""Text and codes of speech while it comes are those of the whole."""

import argparse

import numpy as np
import pytest
import torch
import yaml
from gpu_cases import ESPNET_ENCODER
from tiny_system import AGGREGATOR_CONF, CHARACTERS, ENCODER_CONF, TASTE

from espnet2_taste.inference import SpeechToTaste, TasteEdit, TasteToSpeech
from espnet2_taste.taste.build import build_taste_model

WINDOWS = {
    "frontend_conf": TASTE["frontend_conf"] | {"floor": False},
    "encoder_conf": ENCODER_CONF
    | {
        "config": ENCODER_CONF["config"] | {"init_std": 0.3},
        "window_s": 0.4,
        "left_context_s": 0.2,
    },
}
CHUNKS = {"rel_pos_type": "latest", "chunk_size": 2, "left_chunks": 1}
HEAD = {"output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 1}
KINDS = {
    "windows": WINDOWS,
    "chunks": {
        "frontend": "default",
        "frontend_conf": {"n_mels": 20, "hop_length": 160},
        "encoder": "espnet",
        "encoder_conf": ESPNET_ENCODER
        | {
            "encoder": "conformer",
            "encoder_conf": ESPNET_ENCODER["encoder_conf"] | CHUNKS,
            "value_source": [0, 1],
        },
        "aggregator": "multi_layer",
        "model_conf": {"granularity": "token"},
    },
    "layers": WINDOWS
    | {
        "aggregator_conf": AGGREGATOR_CONF | {"prefix_ids": [2, 3], "suffix_ids": [1]},
        "model_conf": {
            "ctc_conf": {"encoder": "conformer", "encoder_conf": HEAD | CHUNKS}
        },
    },
}
#: 2 s of tones that change, so that there is something to be told apart
TIME = np.arange(32000) / 16000
SPEECH = 0.3 * np.sin(2 * np.pi * (200 + 150 * np.sin(9 * TIME)) * TIME)
SPEECH = (SPEECH * (1.1 + np.sin(25 * TIME))).astype(np.float32)


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory):
    """The experiment of a model with random weights that hears many short words."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "chars.txt").write_text("\n".join(CHARACTERS[:9]) + "\n")
    config = TASTE | {"token_model": str(folder / "chars.txt")} | KINDS[request.param]
    config["model_conf"] = {"ctc_weight": 1.0} | config["model_conf"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(0)
    made = build_taste_model(
        argparse.Namespace(**yaml.safe_load(yaml.safe_dump(config)))
    )
    torch.save(made.state_dict(), folder / "model.pth")
    tokenizer = SpeechToTaste.from_pretrained(folder)
    model = tokenizer.model
    model.ctc.head.bias.data[1] += 2.0  # the word mark
    matrices = [w for w in model.aggregator.parameters() if w.dim() > 1]
    for _ in range(60):  # until it hears words
        torch.nn.init.normal_(model.ctc.head.weight, std=3.0)
        if len(tokenizer.transcribe([SPEECH])[0][0].split()) > 6:
            break
    for _ in range(60):  # until its codes say different things of them
        torch.nn.init.normal_(model.quantizer.project_in.weight, std=3.0)
        for weight in matrices:
            torch.nn.init.normal_(weight, std=1.0)
        tokens, tokenizer.look_ahead = tokenizer(SPEECH), 3
        near, tokenizer.look_ahead = tokenizer(SPEECH), None
        if not torch.equal(near.codes, tokens.codes):
            break
    torch.save(model.state_dict(), folder / "model.pth")
    return folder / "model.pth"


def heard_in(tokenizer, sizes):
    """What a stream gives of ``SPEECH`` cut so, and when."""
    stream, found, at = tokenizer.open_stream(), [], 0
    for size in sizes:
        found.append(stream.push(SPEECH[at : at + size]))
        at += size
    found.append(stream.push(SPEECH[at:]))
    found.append(stream.finish())
    return stream, found


def is_whole(found, whole):
    assert "".join(tokens.text for tokens in found) == whole.text
    assert [word for tokens in found for word in tokens.words] == whole.words
    assert torch.equal(torch.cat([tokens.codes for tokens in found]), whole.codes)
    confidence = [one for tokens in found for one in tokens.confidence]
    assert confidence == pytest.approx(whole.confidence, abs=1e-4)
    assert sum(tokens.duration for tokens in found) == pytest.approx(whole.duration)
    before, segments = 0, []
    for tokens in found:
        segments += [before + segment for segment in tokens.segments]
        before += len(tokens.words)
    assert segments == whole.segments


@pytest.mark.parametrize("sizes", [(), (1, 100, 0, 9000, 333), (1600,) * 19])
def test_a_stream_gives_what_a_call_gives(model, sizes):
    tokenizer = SpeechToTaste.from_pretrained(model, look_ahead_s=0.1)
    whole = tokenizer(SPEECH)
    assert len(whole.words) > 6
    stream, found = heard_in(tokenizer, sizes)
    is_whole(found, whole)
    assert stream.text == whole.text
    if len(sizes) > 5:  # while it comes
        given = np.cumsum([len(tokens.words) for tokens in found])
        assert 0 < given[12] < given[-1]
    if not sizes:
        pieces = list(tokenizer.listen([SPEECH[:9000], SPEECH[:0], SPEECH[9000:]]))
        assert "".join(piece.text for piece in pieces) == whole.text


def test_codes_depend_on_the_frames_up_to_their_look_ahead(model):
    """Without: on the whole; the text comes all the same."""
    tokenizer = SpeechToTaste.from_pretrained(model)
    whole = tokenizer(SPEECH)
    stream, found = heard_in(tokenizer, (1600,) * 19)
    assert not any(tokens.words for tokens in found[:-1])
    is_whole(found, whole)
    stream = tokenizer.open_stream()
    stream.push(SPEECH[:24000])
    assert whole.text.startswith(stream.text) and stream.text
    near = SpeechToTaste.from_pretrained(model, look_ahead_s=0.1)(SPEECH)
    assert near.text == whole.text and not torch.equal(near.codes, whole.codes)
    far = SpeechToTaste.from_pretrained(model, look_ahead_s=10)(SPEECH)
    assert torch.equal(far.codes, whole.codes)


def test_a_batch_with_look_ahead_is_single(model):
    tokenizer = SpeechToTaste.from_pretrained(model, look_ahead_s=0.1)
    waves = [SPEECH, SPEECH[:20000], SPEECH[5000:]]
    for tokens, wav in zip(tokenizer.batch_tokenize(waves, None), waves, strict=True):
        alone = tokenizer(wav)
        assert tokens.text == alone.text and torch.equal(tokens.codes, alone.codes)


def test_silence_and_what_is_no_speech(model):
    tokenizer = SpeechToTaste.from_pretrained(model, look_ahead_s=0.1)
    stream = tokenizer.open_stream()
    assert 0.1 < stream.latency < 0.5
    assert stream.finish().codes.shape == (0, 2) and stream.text == ""
    with pytest.raises(ValueError, match="the stream has ended"):
        stream.push(SPEECH)
    with pytest.raises(ValueError, match="speech must be one channel"):
        tokenizer.open_stream().push(np.zeros((2, 100)))
    with pytest.raises(ValueError, match="look_ahead_s -1: expected seconds"):
        SpeechToTaste.from_pretrained(model, look_ahead_s=-1)


def test_lines_of_a_recording_and_of_raw_samples(model, tmp_path, monkeypatch, capfd):
    import io
    import json
    import sys
    from types import SimpleNamespace

    import soundfile

    from espnet2_taste.bin.listen import main as listen

    tokenizer = SpeechToTaste.from_pretrained(model, look_ahead_s=0.1)
    pcm = np.rint(SPEECH * 32767).astype("<i2")
    whole = tokenizer(pcm)
    soundfile.write(tmp_path / "a.wav", pcm, 16000)
    raw = SimpleNamespace(buffer=io.BytesIO(pcm.tobytes()))
    monkeypatch.setattr(sys, "stdin", raw)
    for source in (str(tmp_path / "a.wav"), "-"):
        options = ["--model_file", str(model), "--look_ahead_s", "0.1"]
        listen([*options, "--input", source, "--chunk_s", "0.3"])
        told = capfd.readouterr()
        lines = [json.loads(line) for line in told.out.splitlines()]
        assert "latency 0." in told.err and len(lines) > 1
        assert "".join(line["text"] for line in lines) == whole.text
        assert sum((line["codes"] for line in lines), []) == whole.codes.tolist()
        heard = [line["heard"] for line in lines]
        assert heard == sorted(heard) and heard[0] < heard[-1] <= 2.0


def test_what_listens_and_speaks_has_both():
    assert TasteEdit.stream is TasteToSpeech.stream
    assert TasteEdit.listen is SpeechToTaste.listen

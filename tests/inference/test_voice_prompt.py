"""Streams that go on from a recording: its text, units and mel."""

import logging
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from tiny_system import SPEAKER, TASTE, UNITS, make_system
from tiny_vocoder import TINY2

from espnet2_taste.bin import speak as bin_speak
from espnet2_taste.inference import TasteToSpeech
from espnet2_taste.inference.speech_streams import Words
from espnet2_taste.inference.voice_prompt import VoicePrompt
from espnet2_taste.nn.random_streams import item_seed
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.streams import SpokenPrompt
from espnet2_taste.vocoder.cosyvoice import checkpoint
from espnet2_taste.vocoder.cosyvoice.vocoder import Prompt
from espnet2_taste.vocoder.cosyvoice2.generator import VoiceGenerator2
from espnet2_taste.vocoder.cosyvoice2.vocoder import CosyVoice2Vocoder

TEXT = "set the red lamp"
RNG = np.random.default_rng(0)
CODES = RNG.integers(8, size=(4, 2))
SPEAKERS = list(RNG.standard_normal((2, SPEAKER), np.float32))
LM = {
    "model_type": "qwen2",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
FLOW = TINY2["flow_conf"] | {"num_units": UNITS, "spk_embed_dim": SPEAKER}
DECODER = {"lm_conf": {"config": LM}, "mix_ratio": [2, 3], "bistream_prob": 1.0}


@pytest.fixture(scope="module")
def speak(tmp_path_factory):
    decoder = {"speech_decoder": "interleaved_lm", "speech_decoder_conf": DECODER}
    torch.manual_seed(0)
    model = VoiceGenerator2(FLOW, TINY2["hift_conf"]).eval()
    with pytest.MonkeyPatch.context() as patch:
        root = make_system(tmp_path_factory.mktemp("system"), patch, TASTE | decoder)
        yield TasteToSpeech.from_pretrained(
            root / "exp" / "taste",
            vocoder=CosyVoice2Vocoder(model, chunked=True),
            sampling=Sampling(seed=3),
        )


def prompt_wav():
    torch.manual_seed(1)
    return 0.1 * torch.randn(13 * 960)


@pytest.fixture(scope="module")
def prompt(speak):
    mel = speak.vocoder.prompt_mel(prompt_wav())
    assert mel.shape == (26, 80)
    return VoicePrompt("the lamp", torch.arange(13), mel, CODES[2:])


def test_a_stream_goes_on_from_its_prompt(speak, prompt):
    streams = speak.open_streams(SPEAKERS[:1], prompts=[prompt])
    made = list(streams.units_of([Words(TEXT, CODES)]))
    units = torch.cat([row[0] for row, _ in made])
    sound = torch.cat(list(speak.stream(TEXT, SPEAKERS[0], CODES, prompt=prompt)))

    read = streams._read([Words("the lamp", CODES[2:])])
    said = SpokenPrompt(read[0], prompt.units)
    streams.after = ["lamp"]
    rest = streams._read([Words(TEXT, CODES)])
    by_hand = speak.model.speech_decoder.open_streams(
        torch.from_numpy(SPEAKERS[0])[None], speak.sampling, [0], [said]
    )
    assert torch.equal(by_hand.push(rest, [True])[0], units)
    (whole,) = speak.vocoder(
        [units],
        torch.from_numpy(SPEAKERS[0])[None],
        prompts=[Prompt(prompt.units, prompt.mel)],
    )
    assert len(sound) == 960 * len(units)
    torch.testing.assert_close(sound, whole, atol=1e-4, rtol=0)
    without = torch.cat(list(speak.stream(TEXT, SPEAKERS[0], CODES)))
    assert len(without) != len(sound) or not torch.equal(without, sound)


def test_many_streams_give_what_single_ones_give(speak, prompt):
    deaf = VoicePrompt(prompt.text, prompt.units, codes=prompt.codes)
    for prompts in ([prompt, None], [deaf, prompt]):
        streams = speak.open_streams(SPEAKERS, [1, 2], prompts=prompts)
        both = streams.push([Words(TEXT, CODES)] * 2, [True, True])
        for row, sound in enumerate(both):
            alone = speak.stream(
                TEXT, SPEAKERS[row], CODES, seed=row + 1, prompt=prompts[row]
            )
            torch.testing.assert_close(sound, torch.cat(list(alone)), atol=1e-4, rtol=0)


def test_the_command_takes_an_utterance_as_prompt(speak, prompt):
    """In the folder of the system; its files say what is given to the class."""
    vocoder = speak.vocoder
    conf = {"flow_conf": FLOW, "hift_conf": TINY2["hift_conf"]}
    checkpoint.save("exp/vocoder", vocoder.model.state_dict(), conf)
    wav = prompt_wav().numpy()
    soundfile.write("data/p.wav", wav, 24000, "FLOAT")
    Path("data/wav.scp").write_text("p data/p.wav\n")
    Path("data/text").write_text(f"a {TEXT}\np {prompt.text}\n")
    tables = {
        "taste": {"a": CODES.astype(np.int32), "p": CODES[2:].astype(np.int32)},
        "units": {"p": prompt.units.numpy().astype(np.int32)},
        "spk_emb": {"p": SPEAKERS[0]},
    }
    for name, table in tables.items():
        table = {key: row.reshape(-1) for key, row in table.items()}
        kaldiio.save_ark(f"data/{name}.ark", table, f"data/{name}.scp")
    command = ["--model_file", "exp/taste", "--data_dir", "data", "--utt", "a"]
    command += ["--vocoder", "exp/vocoder", "--vocoder_type", "cosyvoice2"]
    command += ["--vocoder_conf", "chunked=true", "--taste", "data/taste.scp"]
    command += ["--voice_prompt", "p", "--seed", "3", "--output", "said.wav"]
    bin_speak.main([*command, "--stream"])
    seed = item_seed("a")
    sound = speak.stream(TEXT, SPEAKERS[0], CODES, seed=seed, prompt=prompt)
    said = soundfile.read("said.wav", dtype="float32")[0]
    np.testing.assert_allclose(said, torch.cat(list(sound)), atol=1e-3)
    for options, message in (
        ([], "--stream"),
        (["--voice_prompt", "q"], "utterance q"),
    ):
        more = [] if "--stream" in message else ["--stream"]
        with pytest.raises(ValueError, match=message):
            bin_speak.main([*command, *more, *options])


def test_the_last_units_are_known_to_be_the_last(speak):
    streams = speak.open_streams(SPEAKERS[:1])
    streams.feed([Words(TEXT, CODES)], [True])
    ends = []
    while len((made := streams.units())[0][0]):
        ends.append(made[1][0])
    assert ends == [False] * (len(ends) - 1) + [True]


def test_what_does_not_fit_is_told(speak, prompt, caplog):
    with caplog.at_level(logging.WARNING):
        speak.open_streams(SPEAKERS[:1], prompts=[prompt])
        assert not caplog.messages
        long = VoicePrompt(prompt.text, torch.arange(15), prompt.mel, prompt.codes)
        streams = speak.open_streams(SPEAKERS[:1], prompts=[long])
        few = VoicePrompt(prompt.text, torch.arange(5), None, prompt.codes)
        speak.open_streams(SPEAKERS[:1], prompts=[few])
    assert streams.vocoder.utterances[0].prompt_units == 13
    assert len(streams.decoder.streams[0].prompt) == 13
    told, short = caplog.messages
    assert "of 15 units and 26 mel frames, 13 and 26 go together" in told
    assert "a prompt of 5 units for" in short


class Plain(CosyVoice2Vocoder):
    takes_prompts = False


def test_prompts_that_cannot_be(speak, prompt):
    nothing = VoicePrompt(" ", prompt.units, codes=prompt.codes)
    unsaid = VoicePrompt("lamp", prompt.units[:0], codes=prompt.codes[:1])
    for bad, message in (
        ([nothing], "prompt of stream 0: no text"),
        ([unsaid], "no units"),
        ([prompt, prompt], "2 prompts for 1 streams"),
        (
            [VoicePrompt("lamp", prompt.units, prompt.mel[:, :4], CODES[:1])],
            "prompt's mel",
        ),
        ([VoicePrompt("lamp", prompt.units, prompt.mel[:1], CODES[:1])], "1 frames is"),
        ([VoicePrompt("lamp", prompt.units + UNITS, codes=CODES[:1])], "prompt units"),
    ):
        with pytest.raises(ValueError, match=message):
            speak.open_streams(SPEAKERS[:1], prompts=bad)
    whole, speak.vocoder = speak.vocoder, Plain(speak.vocoder.model)
    try:
        with pytest.raises(ValueError, match="vocoder Plain takes none"):
            speak.open_streams(SPEAKERS[:1], prompts=[prompt])
    finally:
        speak.vocoder = whole
    decoder = speak.model.speech_decoder
    try:
        decoder.takes_prompts = False
        with pytest.raises(ValueError, match="decoder InterleavedLMDecoder takes none"):
            speak.open_streams(SPEAKERS[:1], prompts=[prompt])
    finally:
        del decoder.takes_prompts

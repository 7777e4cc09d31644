"""What is answered is what the classes give, whatever it is batched with."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from tiny_server import sound_file
from tiny_system import TEXT

from espnet2_taste.inference import SpeechToTaste, TasteToSpeech
from espnet2_taste.io.audio import to_pcm16

CODES = [[1, 2], [3, 4], [5, 6], [7, 0]]


def said(system, text=TEXT, codes=CODES, seed=0, voice=None):
    """What the class gives alone."""
    voice = system.voices["neutral"] if voice is None else voice
    codes = None if codes is None else np.array(codes)
    return TasteToSpeech.__call__(system.taste, text, voice, codes, seed=seed)


def samples(content):
    return soundfile.read(io.BytesIO(content), dtype="int16")[0].astype(int)


def same_sound(content, made):
    """Sample by sample."""
    wanted = np.frombuffer(to_pcm16(made.wav.numpy()), "<i2")
    return np.array_equal(samples(content), wanted)


def test_tokenize(client, system, noise):
    (alone,) = SpeechToTaste.batch_tokenize(system.taste, [noise], [TEXT])
    found = client.tokenize(sound_file(noise), TEXT)
    codes = [row.tolist() for row in alone.codes]
    assert found["codes"] == codes and found["words"] == TEXT.split()
    assert found["seconds"] == 0.5 and found["bits"] == 4 * 2 * 3
    form = {"data": {"text": TEXT}, "files": {"audio": sound_file(noise, form="FLAC")}}
    assert client.http.post("/v1/tokenize", **form).json()["codes"] == codes


def test_a_recording_may_have_any_rate_and_channels(client, noise):
    wav = np.stack([noise, noise], 1)[:4000]
    found = client.tokenize(sound_file(wav, 8000), TEXT)
    assert found["seconds"] == 0.5


def test_synthesize(client, system):
    assert same_sound(client.synthesize(TEXT, CODES, seed=7), said(system, seed=7))
    assert same_sound(client.synthesize(TEXT), said(system, codes=None))


@pytest.mark.parametrize("kind", ["flac", "mp3", "pcm"])
def test_formats(client, kind):
    wav = samples(client.synthesize(TEXT, CODES))
    other = client.synthesize(TEXT, CODES, response_format=kind)
    if kind == "pcm":
        assert other == wav.astype("<i2").tobytes()
    elif kind == "flac":
        assert np.array_equal(samples(other), wav)
    else:
        assert len(samples(other)) >= len(wav)


def test_voices(client, system, noise):
    embedding = system.embed([noise])[0]
    wanted = said(system, voice=embedding)
    reference = base64.b64encode(sound_file(noise, form="FLAC")).decode()
    by_number = client.synthesize(TEXT, CODES, spk_emb=embedding.tolist())
    assert same_sound(by_number, wanted)
    # FLAC has 16 bits: about the same voice
    assert len(samples(client.synthesize(TEXT, CODES, reference=reference)))
    assert client.http.get("/v1/voices").json() == {"voices": ["neutral"]}


def talkative(system, **given):
    """A seed with which the tiny TASLM says something, and what."""
    for seed in range(50):
        more = system.taslm([TEXT], [np.array(CODES)], [str(seed)], **given)[0]
        if more.words:
            return seed, more


def test_continue(client, system):
    given = {"max_words": 3, "text_top_p": 1.0, "taste_top_p": 0.9}
    seed, wanted = talkative(system, **given)
    found = client.go_on(text=TEXT, codes=CODES, seed=seed, **given, sound=True)
    assert found["words"] == wanted.words and found["text"] == wanted.text
    assert found["codes"] == wanted.codes.tolist()
    sound = said(system, wanted.text, wanted.codes, seed=seed)
    assert same_sound(base64.b64decode(found["wav"]), sound)
    only = system.taslm([TEXT], None, ["0"], mode="text", max_words=3)[0]
    assert client.go_on(text=TEXT, max_words=3)["words"] == only.words


def test_continue_speech(client, system, noise):
    codes = client.tokenize(sound_file(noise), TEXT)["codes"]
    audio = base64.b64encode(sound_file(noise)).decode()
    found = client.go_on(audio=audio, text=TEXT, max_words=2)
    assert found == client.go_on(text=TEXT, codes=codes, max_words=2)


def test_score(client, system):
    wanted = system.taslm.judge([TEXT], [np.array(CODES)])[0]
    found = client.score(TEXT, CODES)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        near = None if value is None else pytest.approx(value, rel=1e-5)
        assert found[name] == near


def test_fifty_at_once_are_each_answered_as_if_alone(serve, system, noise):
    """Of all kinds, more than the slots; each gets its own answer."""
    texts = ["set the red lamp", "red lamp", "the lamp set the lamp red", "lamp"]

    def ask(i):
        text = texts[i % 4]
        codes = [[(i + j) % 8, j % 8] for j in range(len(text.split()))]
        if i % 3 == 0:
            return same_sound(
                client.synthesize(text, codes, seed=i), said(system, text, codes, i)
            )
        if i % 3 == 1:
            given = {"max_words": 2 + i % 2, "text_top_p": 0.9, "seed": i}
            found = client.go_on(text=text, codes=codes, **given)
            given["names"] = [str(given.pop("seed"))]
            wanted = system.taslm([text], [np.array(codes)], **given)[0]
            return found["codes"] == wanted.codes.tolist()
        wav = noise[: 4000 + 50 * i]
        wanted = SpeechToTaste.batch_tokenize(system.taste, [wav], [text])[0]
        found = client.tokenize(sound_file(wav, form="WAV"), text)["codes"]
        loaded = soundfile.read(io.BytesIO(sound_file(wav)), dtype="float32")[0]
        wanted = SpeechToTaste.batch_tokenize(system.taste, [loaded], [text])[0]
        return found == wanted.codes.tolist()

    with serve(max_batch=4) as client, ThreadPoolExecutor(50) as pool:
        assert all(pool.map(ask, range(50)))
        metrics = client.http.get("/metrics").text
    assert 'taste_requests_total{route="/v1/synthesize",status="200"} 17.0' in metrics
    assert 'taste_batch_size_bucket{kind="speak",le="4.0"}' in metrics


def test_parts_without_running_batches(serve, system, monkeypatch):
    """Speech decoders and LMs that only know whole batches."""
    for name in ("runs_units", "runs_continuations"):
        monkeypatch.setattr(type(system), name, False)
    with serve(max_wait_s=0.2) as client, ThreadPoolExecutor(6) as pool:
        codes = [CODES, None, CODES, None]
        made = pool.map(lambda i: client.synthesize(TEXT, codes[i], seed=i), range(4))
        more = [
            pool.submit(client.go_on, text=TEXT, codes=rows, seed=2, max_words=2)
            for rows in (CODES, None)
        ]
        for i, content in enumerate(made):
            assert same_sound(content, said(system, codes=codes[i], seed=i))
    given = {"names": ["2"], "max_words": 2}
    spoken = system.taslm([TEXT], [np.array(CODES)], **given)[0]
    written = system.taslm([TEXT], mode="text", **given)[0]
    found = [one.result()["codes"] for one in more]
    assert found == [spoken.codes.tolist(), written.codes.tolist()]


def test_openai(client, system):
    given = {"model": "taste", "input": TEXT, "voice": "neutral"}
    answer = client.http.post(
        "/v1/audio/speech", json=given | {"response_format": "wav", "seed": 2}
    )
    assert same_sound(answer.content, said(system, codes=None, seed=2))
    assert answer.headers["content-type"] == "audio/wav"
    assert client.http.get("/v1/models").json()["data"][0]["id"] == "taste"


@pytest.mark.parametrize(
    "change,status,message",
    [
        ({"model": "tts-1"}, 404, "no such model; there is: taste"),
        ({"voice": "alloy"}, 404, "no such voice; there are: neutral"),
        ({"response_format": "aac"}, 400, "writes wav, flac, mp3, pcm"),
        ({"speed": 1.5}, 400, "speed: this model speaks at its own"),
        ({"instructions": "whisper"}, 400, "takes none"),
        ({"input": ""}, 422, "text"),
    ],
)
def test_openai_errors(post, change, status, message):
    given = {"model": "taste", "input": TEXT, "voice": "neutral"} | change
    answer = post("/v1/audio/speech", given)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert message in error["message"] and error.keys() == {
        *("message", "type", "param", "code")
    }


def test_pages(client):
    assert client.http.get("/health").json() == {"status": "ready"}
    schema = client.http.get("/openapi.json").json()
    assert {"/v1/tokenize", "/v1/synthesize", "/v1/audio/speech"} <= set(
        schema["paths"]
    )
    assert client.http.get("/docs").status_code == 200

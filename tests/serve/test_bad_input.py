"""Bad input costs one sentence: no traceback, no file, no other's answer."""

import base64
import json

import numpy as np
import pytest
from tiny_server import sound_file
from tiny_system import TEXT

CODES = [[1, 2], [3, 4], [5, 6], [7, 0]]
JSON = {"Content-Type": "application/json"}


def error(answer):
    """Status and sentence."""
    found = answer.json()["error"]["message"]
    assert "Traceback" not in found and "\n" not in found and len(found) < 400
    return answer.status_code, found


def audio(wav, *more):
    return base64.b64encode(sound_file(wav, *more)).decode()


@pytest.mark.parametrize(
    "codes,message",
    [
        ([[1, 2], [3, 4]], "2"),  # rows for four words
        ([[1, 2, 3]] * 4, "expected a row of 2 for each word"),
        ([[1, 2], [3], [5, 6], [7, 0]], "different widths"),
        ([[1, 99]] * 4, "this model's are 0 to 7"),
        ([[1, -1]] * 4, "greater than or equal to 0"),
        ([[1, 2.5]] * 4, "valid integer"),
        ([[1, True]] * 4, "valid integer"),
        ([[1, "2"]] * 4, "valid integer"),
        ([[1, 10**30]] * 4, "less than"),
        ([], "codes"),
        ("../../etc/passwd", "valid list"),
    ],
)
def test_codes(post, codes, message):
    for route in ("synthesize", "continue", "score"):
        status, found = error(post(f"/v1/{route}", {"text": TEXT, "codes": codes}))
        assert status == 422 and message in found, found


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "9" * 5000])
def test_numbers_that_are_none(client, value):
    body = f'{{"text": "set", "codes": [[1, {value}]], "spk_emb": [{value}]}}'
    answer = client.http.post("/v1/synthesize", content=body, headers=JSON)
    assert error(answer)[0] in (400, 422)


@pytest.mark.parametrize(
    "body",
    ["[" * 100_000, '{"a":' * 50_000, '{"text": "x"', "[]", "null", "", "\xff\xfe"],
)
@pytest.mark.parametrize("route", ["tokenize", "synthesize"])
def test_json_bombs(client, body, route):
    answer = client.http.post(
        f"/v1/{route}",
        content=body.encode("latin-1"),
        headers=JSON,
    )
    assert error(answer)[0] in (400, 422)


def test_a_body_that_is_too_large(client):
    def endless():
        for _ in range(100):
            yield b" " * (1 << 16)

    for content in (b" " * (2 << 20), endless()):
        try:
            answer = client.http.post("/v1/synthesize", content=content)
        except OSError:  # the server does not listen to the rest
            continue
        assert error(answer) == (413, "a body may have 1048576 bytes")


@pytest.mark.parametrize(
    "field", ["text", "voice", "response_format", "model", "name", "spk_emb", "audio"]
)
@pytest.mark.parametrize(
    "value",
    [
        "/etc/passwd",
        "../../../../etc/passwd",
        "file:///etc/passwd",
        "__import__('os').system('id')",
        "{{7*7}}<script>alert(1)</script>",
        "cat /etc/passwd |",
        "\x00",
    ],
)
def test_strings_that_look_like_paths_or_programs(post, field, value):
    for route in ("synthesize", "tokenize", "continue"):
        answer = post(f"/v1/{route}", {"text": TEXT, field: value})
        assert b"root:" not in answer.content and b"uid=" not in answer.content
        if field == "text" and answer.status_code == 200:
            continue  # it is said
        assert error(answer)[0] in (404, 422)


def test_paths_of_urls(client):
    for path in ("/v1/../../etc/passwd", "/v1/%2e%2e%2fetc%2fpasswd", "/etc/passwd"):
        assert error(client.http.get(path))[0] == 404


@pytest.mark.parametrize(
    "content,status,message",
    [
        (b"", 422, "has no samples"),
        (b"no audio at all" * 50, 422, "is not readable audio"),
        (sound_file(np.zeros(16000))[:9000], 422, "is truncated"),
        (sound_file(np.zeros(0)), 422, "has no samples"),
        (sound_file(np.zeros(16000 * 5)), 413, "longer than 4 seconds"),
        (sound_file(np.zeros(48000 * 20), 48000, "FLAC"), 413, "longer than 4 seconds"),
        (sound_file(np.zeros((800, 8)), 96000), 413, "samples a second"),
    ],
    ids=range(7),
)
def test_recordings(post, content, status, message):
    given = {"audio": base64.b64encode(content).decode(), "text": TEXT}
    found = error(post("/v1/tokenize", given))
    assert found[0] == status and message in found[1]


def test_an_mp3_that_lies_about_its_length(client):
    """Its header tells of one second; all of it is heard, within the limit."""
    one, many = (sound_file(np.zeros(16000 * n), 16000, "MP3") for n in (1, 2))
    assert client.tokenize(one + many, TEXT)["seconds"] > 2.5
    answer = client.http.post(
        "/v1/tokenize", data={"text": TEXT}, files={"audio": one + many + many}
    )
    assert error(answer) == (413, "the audio is longer than 4 seconds")


def test_silence_and_music(client, noise):
    silence = client.tokenize(sound_file(np.zeros(8000)), TEXT)
    assert len(silence["codes"]) == 4
    music = np.sin(np.arange(16000) * 0.2) + np.sin(np.arange(16000) * 0.3)
    assert len(client.tokenize(sound_file(0.3 * music), TEXT)["codes"]) == 4


def test_speech_without_text(post):
    status, found = error(post("/v1/tokenize", {"audio": audio(np.zeros(8000))}))
    assert status == 422 and "no CTC head" in found


@pytest.mark.parametrize("text", ["lamp " * 2000, "x" * 81])
def test_texts_that_are_too_long(post, text):
    for route in ("synthesize", "continue"):
        found = error(post(f"/v1/{route}", {"text": text}))
        assert found == (413, "a text may have 80 characters")


@pytest.mark.parametrize("text", ["", "  ", "лампа", "42 \U0001f600", 7, None])
def test_texts_that_cannot_be_said(post, text):
    assert error(post("/v1/synthesize", {"text": text}))[0] == 422


@pytest.mark.parametrize(
    "given,status,message",
    [
        ({"voice": "nobody"}, 404, "no such voice; there are: neutral"),
        ({"spk_emb": [1.0] * 5}, 422, "this model takes (8,)"),
        ({"spk_emb": [1.0] * 8, "voice": "neutral"}, 422, "give one of"),
        ({"reference": "%%%"}, 422, "reference: is no base64"),
        ({"seed": -1}, 422, "seed: Input should be greater"),
        ({"seed": 2**63}, 422, "seed: Input should be less"),
        ({"seed": 1.5}, 422, "seed: Input should be a valid integer"),
        ({"response_format": "exe"}, 422, "response_format"),
        ({"extra": 1}, 422, "extra: Extra inputs are not permitted"),
    ],
)
def test_fields(post, given, status, message):
    found = error(post("/v1/synthesize", {"text": TEXT} | given))
    assert found[0] == status and message in found[1]


def test_options_of_a_continuation(post):
    for given in ({"max_words": 10**6}, {"text_top_p": 2}, {"text_temperature": 0}):
        assert error(post("/v1/continue", {"text": TEXT} | given))[0] == 422
    both = {"text": TEXT, "codes": CODES, "audio": audio(np.zeros(8000))}
    assert "not both" in error(post("/v1/continue", both))[1]
    assert "give text" in error(post("/v1/continue", {}))[1]
    assert "give the codes" in error(post("/v1/score", {"text": TEXT}))[1]


def test_a_bad_request_costs_its_batch_nothing(serve):
    """Both wait for a batch; one cannot be said."""
    from concurrent.futures import ThreadPoolExecutor

    with serve(max_wait_s=0.2) as client, ThreadPoolExecutor(2) as pool:
        given = [("tokenize", TEXT), ("tokenize", "42")]
        wav = audio(np.zeros(8000))
        good, bad = pool.map(
            lambda pair: client.http.post(
                f"/v1/{pair[0]}", json={"audio": wav, "text": pair[1]}
            ),
            given,
        )
    assert good.status_code == 200 and error(bad)[0] == 422


def test_a_model_without_the_other_parts(packed, cache, monkeypatch, serve):
    from espnet2_taste.serve.system import System

    monkeypatch.setenv("TASTE_CACHE", str(cache))
    with serve(lambda: System(packed / "taste_only.zip")) as client:

        def ask(route, given):
            return error(client.http.post(f"/v1/{route}", json=given))

        prompt = {"text": TEXT, "codes": CODES}
        for route in ("continue", "score"):
            found = ask(route, prompt)
            assert found[0] == 501 and "no taslm: pack one" in found[1]
        assert ask("synthesize", prompt)[0] == 501
        assert client.tokenize(sound_file(np.zeros(8000)), TEXT)["words"]


def test_other_methods_and_paths(client):
    assert error(client.http.get("/v1/synthesize"))[0] == 405
    assert error(client.http.post("/v1/nothing", json={}))[0] == 404
    answer = client.http.post("/v1/tokenize", content=b"x")
    assert error(answer)[0] == 415
    assert json.loads(client.http.get("/health").text)["status"] == "ready"

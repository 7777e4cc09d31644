"""Keys and tokens go to whom they are for, and into no message, log or file."""

import logging

import pytest
from serving import reply, serving

from espnet2_taste.bin import _hide_secrets, judge, masked, run
from espnet2_taste.evaluate.chat import ChatEndpoint, EndpointError
from espnet2_taste.io.download import shown
from espnet2_taste.io.models import locate

KEY = "sk-4f0ee1a90b-secret"


@pytest.fixture(autouse=True)
def local(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TASTE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["{other}/v1/chat/completions", "//{host}/x", "/x"])
def test_a_redirect_is_not_followed(status, target):
    seen = []

    def other(handler):
        seen.append(dict(handler.headers))
        reply(handler, b"{}")

    def endpoint(handler):
        if handler.path != "/v1/chat/completions":
            seen.append(dict(handler.headers))
        reply(handler, b"", status, Location=where)

    with serving(other) as there, serving(endpoint) as url:
        where = target.format(other=there, host=there.partition("//")[2])
        with pytest.raises(EndpointError, match="leads to .*as --endpoint") as error:
            ChatEndpoint(f"{url}/v1", "m", key=KEY, retries=0).ask("?")
    assert not seen and KEY not in str(error.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize(
    "body", [f"bad key {KEY}", f'{{"error": "{KEY}\\n"}}', KEY * 9]
)
def test_an_answer_that_repeats_the_key(status, body, caplog):
    with serving(lambda h: reply(h, body.encode(), status)) as url:
        with pytest.raises(EndpointError, match=f"HTTP {status}") as error:
            ChatEndpoint(url, "m", key=KEY, retries=1, backoff=0).ask("?")
    assert KEY not in str(error.value) + caplog.text


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nX: y", f"{KEY}é", f"\0{KEY}"])
def test_keys_that_are_none(key, caplog):
    with pytest.raises(ValueError, match="the API key has") as error:
        ChatEndpoint("http://127.0.0.1:1/v1", "m", key=key)
    assert KEY not in str(error.value) and KEY not in repr(error.value)
    assert KEY not in repr(ChatEndpoint("http://127.0.0.1:1/v1", "m", key=KEY))


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{KEY}@127.0.0.1/v1",
        f"https://{KEY}@api.example.org/v1",
        f"http://127.0.0.1/v1?api_key={KEY}",
        f"file:///etc/{'x'}",
        f"ftp://user:{KEY}@host/",
        f"http://[{KEY}",
        "127.0.0.1/v1",
        "http:///v1",
        "",
    ],
)
def test_endpoints_that_are_none(url, tmp_path):
    for name in ("text", "prompt_text"):
        (tmp_path / name).write_text("u1 x\n")
    words = ["--data_dir", str(tmp_path), "--output_dir", str(tmp_path / "out")]
    words += ["--endpoint", url or "x", "--model", "m"]
    with pytest.raises(SystemExit, match="error: ") as error:
        run(lambda: judge.main(words))
    assert KEY not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{KEY}@127.0.0.1/m.zip",
        f"https://{KEY}@host/m.zip",
        f"ftp://u:{KEY}@host/m.zip",
        f"file://u:{KEY}@host/m.zip",
    ],
)
def test_models_behind_passwords(url):
    with pytest.raises(ValueError, match="~/.netrc|expected http") as error:
        locate(url)
    assert KEY not in str(error.value)


def test_a_signed_address_is_not_told(caplog, tmp_path):
    with serving(lambda h: reply(h, b"", 403)) as url:
        with pytest.raises(FileNotFoundError, match="HTTP 403") as error:
            locate(f"{url}/m.zip?X-Signature={KEY}")
    assert KEY not in str(error.value) + caplog.text
    files = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert not [p for p in files if KEY in p.name or KEY in p.read_text()]
    assert shown(f"https://u:{KEY}@h:1/a?b={KEY}#c") == "https://h:1/a"


NAMES = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "WANDB_API_KEY"]
NAMES += ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "MY_PASSWORD", "MY_JUDGE_KEY"]


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_of_the_environment_is_logged(name, monkeypatch, caplog):
    monkeypatch.setenv(name, KEY)
    make = logging.getLogRecordFactory()
    try:
        _hide_secrets()
        caplog.set_level(logging.INFO)
        logging.info("cmd: --header %s", f"Bearer {KEY}")
        logging.warning(f"{KEY} {{}} %s")
        logging.getLogger("urllib3").error("%(a)s", {"a": KEY})
        logging.info("https://user:%s@host/x", "another")
    finally:
        logging.setLogRecordFactory(make)
    assert KEY not in caplog.text and caplog.text.count("***") == 4
    assert "another" not in caplog.text

    def main():
        raise ValueError(f"token {KEY} is wrong")

    with pytest.raises(SystemExit, match=r"error: token \*\*\* is wrong"):
        run(main)
    logging.setLogRecordFactory(make)


def test_what_is_no_secret_stays(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "something")
    monkeypatch.setenv("SHORT_KEY", "a")
    text = "something a https://host/path@v1 me@host"
    assert masked(text) == text

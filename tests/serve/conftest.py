"""A server of a tiny random packed model."""

import httpx
import numpy as np
import pytest
from tiny_server import serving
from tiny_system import EVERYTHING, TASTE, make_system

from espnet2_taste.serve.system import System

#: A tiny system whose words are short: WORLD takes the longest here.
DECODER = TASTE["speech_decoder_conf"] | {"max_units_per_word": 6}
SHORT = TASTE | {"speech_decoder_conf": DECODER}


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """``everything.zip`` and ``taste_only.zip``."""
    from espnet2_taste.bin import pack

    folder = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        make_system(tmp_path_factory.mktemp("system"), patch, SHORT)
        for name, parts in (("everything", EVERYTHING), ("taste_only", EVERYTHING[:2])):
            pack.main([*parts, "--output", str(folder / f"{name}.zip")])
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Where packed models are unpacked."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def system(packed, cache):
    """All parts: what is expected comes from its classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASTE_CACHE", str(cache))
        return System(packed / "everything.zip")


@pytest.fixture(scope="session")
def client(system):
    """Of a server with the tiny system and short limits."""
    limits = {"max_seconds": 4, "max_chars": 80, "max_bytes": 1 << 20}
    with serving(lambda: system, **limits) as client:
        yield client


@pytest.fixture
def serve(system):
    """Callable (limits...) -> context with the client of another server."""

    def start(load=lambda: system, **limits):
        return serving(load, **limits)

    return start


@pytest.fixture(scope="session")
def noise():
    """(8000,) float32: half a second."""
    wav = np.random.default_rng(0).standard_normal(8000) * 0.1
    return wav.astype(np.float32)


@pytest.fixture
def post(client):
    """Callable (path, JSON) -> httpx.Response."""

    def ask(path, given=None, **more) -> httpx.Response:
        return client.http.post(path, json=given, **more)

    return ask

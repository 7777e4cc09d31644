"""A server in a thread of this process, and what is sent to it."""

import io
import threading
import time
from contextlib import contextmanager

import soundfile

from espnet2_taste.serve.app import build_app
from espnet2_taste.serve.client import Client
from espnet2_taste.serve.guard import Limits
from espnet2_taste.serve.process import Process
from espnet2_taste.serve.service import Service


@contextmanager
def serving(load, token=None, tell=None, **limits):
    """Client of a server, which ends with the context; ``tell`` gets its URL early."""
    service = Service(load, Limits(**{"timeout_s": 600.0} | limits))
    process = Process(build_app(service, token), service, "127.0.0.1", 0, 5.0)
    thread = threading.Thread(target=process.serve_until_told)
    thread.start()
    while not process.started:
        time.sleep(0.005)
    url = f"http://127.0.0.1:{process.servers[0].sockets[0].getsockname()[1]}"
    if tell:
        tell(url)
    while not service.worker.ready:
        time.sleep(0.005)
    client = Client(url, token, timeout=600)
    client.service = service
    try:
        yield client
    finally:
        client.http.close()
        process.should_exit = True
        thread.join()


def sound_file(wav, rate=16000, form="WAV"):
    """The bytes of a recording."""
    file = io.BytesIO()
    soundfile.write(file, wav, rate, format=form)
    return file.getvalue()

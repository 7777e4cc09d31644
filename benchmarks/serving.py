"""Load on a server of a packed model: does each client get its own answer, and when?

python -m benchmarks.serving --model egs2/taste/mini/exp/packed.zip --seconds 60

A server process of its own is asked by ``--clients`` threads, without a pause, to
tokenise, to synthesise and to continue, with random seeds. Every answer is compared
with what the classes gave alone, before: codes and words must be equal, sound must
have as many samples and differ by rounding at most. Then each client sends 10 requests
at once, of which the server lets in two. ``--max_batch 1`` is without batching.
"""

import argparse
import io
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import soundfile

from espnet2_taste.io.audio import to_pcm16
from espnet2_taste.serve.client import Client, ServerError
from espnet2_taste.serve.system import NEUTRAL, System

TEXTS = (
    "set the red lamp near the window",
    "read a blue book",
    "put the green lamp on the table now",
    "set the lamp",
)
#: Steps of 16 bits that sound may differ by: batches round another way.
ROUNDING = 33


def questions(system: System, count: int) -> list[tuple]:
    """(route, request, what the classes answer alone)."""
    made, voice = [], system.voices[NEUTRAL]
    spec, rng = system.spec, np.random.default_rng(0)
    for seed in range(count):
        text = TEXTS[seed % len(TEXTS)]
        rows = len(system.taste.preprocess.segments(text))
        shape = rows, spec.num_codebooks
        codes = rng.integers(0, spec.codebook_size, shape)
        out = system.taste.batch_synthesize([text], [voice], [codes], None, [seed])[0]
        given = {"text": text, "codes": codes.tolist(), "seed": seed}
        pcm = to_pcm16(out.wav.numpy())
        made.append(("synthesize", given | {"response_format": "pcm"}, pcm))
        wav = np.frombuffer(pcm, "<i2")
        file = io.BytesIO()
        soundfile.write(file, wav, out.sample_rate, format="WAV")
        tokens = system.taste.batch_tokenize([wav], [text])[0]
        made.append(("tokenize", (file.getvalue(), text), tokens.codes.tolist()))
        if system.taslm:
            options = {"max_words": 4 + seed % 2, "text_top_p": 0.9}
            more = system.taslm([text], [codes], [str(seed)], **options)[0]
            answer = more.words, more.codes.tolist()
            made.append(("continue", given | options, answer))
    return made


def ask(client: Client, route: str, given) -> object:
    """The server's answer, in the form of :func:`questions`."""
    if route == "synthesize":
        return client.synthesize(**given)
    if route == "tokenize":
        return client.tokenize(*given)["codes"]
    found = client.go_on(**given)
    return found["words"], found["codes"]


def same(found, wanted) -> bool:
    """Whether an answer is the one expected."""
    if not isinstance(wanted, bytes):
        return found == wanted
    if len(found) != len(wanted):
        return False
    pair = (np.frombuffer(x, "<i2").astype(int) for x in (found, wanted))
    return np.abs(np.subtract(*pair)).max(initial=0) <= ROUNDING


@contextmanager
def server(args: argparse.Namespace):
    """Process and URL of a server that is ready."""
    command = [sys.executable, "-m", "espnet2_taste.bin.serve", "--port", "0"]
    command += ["--model", str(args.model), "--max_batch", str(args.max_batch)]
    command += ["--queue", str(2 * args.clients), "--timeout", "600"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stderr if "running on" in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        url = line.split("running on ")[1].split()[0]
        client = Client(url, timeout=600)
        while client.http.get("/health").status_code != 200:
            time.sleep(0.05)
        yield process, url
    finally:
        process.terminate()
        process.wait()


def megabytes(process: subprocess.Popen) -> float:
    """Resident memory."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def load(url: str, asked: list[tuple], args: argparse.Namespace, seconds: float):
    """Seconds of each answer, and how many were wrong or lost."""
    taken, wrong, lost = [], [], []
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        client, chosen = Client(url, timeout=600), random.Random(number)
        while time.monotonic() < end:
            route, given, wanted = chosen.choice(asked)
            start = time.monotonic()
            try:
                found = ask(client, route, given)
            except (ServerError, httpx.HTTPError) as error:
                lost.append(str(error))
                continue
            taken.append(time.monotonic() - start)
            if not same(found, wanted):
                wrong.append((route, given))

    with ThreadPoolExecutor(args.clients) as pool:
        list(pool.map(work, range(args.clients)))
    return taken, wrong, lost


def flood(url: str, asked: list[tuple], count: int) -> dict[str, int]:
    """How many of so many requests at once were answered, refused, wrong."""
    counts = {"answered": 0, "refused": 0, "wrong": 0}
    route, given, wanted = asked[0]

    def work(_) -> str:
        try:
            return (
                "answered"
                if same(ask(Client(url, timeout=600), route, given), wanted)
                else "wrong"
            )
        except ServerError as error:
            return "refused" if error.status == 429 and error.retry_after else "wrong"

    with ThreadPoolExecutor(count) as pool:
        for result in pool.map(work, range(count)):
            counts[result] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--max_batch", type=int, default=16)
    parser.add_argument("--questions", type=int, default=16, help="seeds of each kind")
    args = parser.parse_args()
    asked = questions(System(args.model), args.questions)
    with server(args) as (process, url):
        load(url, asked, args, min(5.0, args.seconds))  # warms up
        before = megabytes(process)
        taken, wrong, lost = load(url, asked, args, args.seconds)
        after = megabytes(process)
        flooded = flood(url, asked, 10 * args.clients)
        flood_peak = megabytes(process)
    cuts = statistics.quantiles(taken, n=20)
    print(
        json.dumps(
            {
                "max_batch": args.max_batch,
                "clients": args.clients,
                "answers": len(taken),
                "per_second": round(len(taken) / args.seconds, 1),
                "p50_ms": round(1000 * statistics.median(taken)),
                "p95_ms": round(1000 * cuts[18]),
                "wrong": len(wrong),
                "lost": len(lost),
                "megabytes": [round(x) for x in (before, after, flood_peak)],
                "flood": flooded,
            }
        )
    )
    if wrong or lost or flooded["wrong"]:
        sys.exit(f"error: {len(wrong)} wrong, {len(lost)} lost: {(wrong + lost)[:3]}")


if __name__ == "__main__":
    main()

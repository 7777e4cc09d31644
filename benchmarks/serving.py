"""Load on a server of a packed model: does each client get its own answer, and when?

python -m benchmarks.serving --model egs2/taste/mini/exp/packed.zip --seconds 60

A server process of its own is asked by ``--clients`` threads, without a pause, to
tokenise, to synthesise and to continue, with random seeds. Every answer is compared
with what the classes gave alone, before, to the last bit. Then each client sends 10
requests at once, of which the server lets in two. A row of the table is a run with that
many requests computed together at most: 1 is without batching.
"""

import argparse
import io
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


@contextmanager
def server(args: argparse.Namespace, max_batch: int):
    """Process and URL of a server that is ready."""
    command = [sys.executable, "-m", "espnet2_taste.bin.serve", "--port", "0"]
    command += ["--model", str(args.model), "--max_batch", str(max_batch)]
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
            if found != wanted:
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
            found = ask(Client(url, timeout=600), route, given)
            return "answered" if found == wanted else "wrong"
        except ServerError as error:
            return "refused" if error.status == 429 and error.retry_after else "wrong"

    with ThreadPoolExecutor(count) as pool:
        for result in pool.map(work, range(count)):
            counts[result] += 1
    return counts


def run(args: argparse.Namespace, asked: list[tuple], max_batch: int) -> list[str]:
    """Print a row; what went wrong."""
    with server(args, max_batch) as (process, url):
        load(url, asked, args, 5.0)  # warms up
        memory = [megabytes(process)]
        start = time.monotonic()
        taken, wrong, lost = load(url, asked, args, args.seconds)
        rate = len(taken) / (time.monotonic() - start)
        memory.append(megabytes(process))
        flooded = flood(url, asked, 10 * args.clients)
        memory.append(megabytes(process))
    p50, p95 = (statistics.quantiles(taken, n=20)[i] for i in (9, 18))
    row = [max_batch, len(taken), f"{rate:.1f}"]
    row += [f"{p50:.2f}", f"{p95:.2f}", len(wrong), len(lost)]
    row += [" → ".join(f"{size:.0f}" for size in memory)]
    row += [f"{flooded['answered']} + {flooded['refused']}"]
    print(f"| {' | '.join(map(str, row))} |", flush=True)
    return [*wrong, *lost, *["wrong in the flood"] * flooded["wrong"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--model", required=True)
    add("--seconds", type=float, default=60.0)
    add("--clients", type=int, default=16)
    add("--max_batch", type=int, nargs="+", default=[16, 1])
    add("--questions", type=int, default=16, help="seeds of each kind")
    args = parser.parse_args()
    asked = questions(System(args.model), args.questions)
    heading = "max_batch | answers | a second | p50 (s) | p95 (s) | wrong | lost"
    heading += " | MB before → after → flooded | flood: answered + 429"
    print(f"| {heading} |\n|{'---|' * (heading.count('|') + 1)}", flush=True)
    problems = [x for size in args.max_batch for x in run(args, asked, size)]
    if problems:
        sys.exit(f"error: {len(problems)} answers wrong or lost: {problems[:3]}")


if __name__ == "__main__":
    main()

"""Commands that stage 2's wav.scp may hold: ``sph2pipe -f wav a.sph |``.

Nowhere else is a command run that is written in a table.
"""

import os
import selectors
import signal
import subprocess
import tempfile
import time

from espnet2_taste.io.processes import end_with_parent

#: Seconds without output after which a command is given up.
SILENCE_S = 300.0
#: Bytes of its output at most: 3 hours of 48 kHz, 16-bit mono.
MOST = 1 << 30
_BLOCK = 1 << 20
# A shell's trap acts while it waits for what it started; `kill 0` ends the whole group.
_SHELL = 'trap "kill -KILL 0" TERM; { eval "$1"; } & wait "$!"'


class CommandFailed(Exception):
    """Why a command's output cannot be used."""


def is_command(entry: str) -> bool:
    """Whether an entry of wav.scp is a command."""
    return entry.rstrip().endswith("|")


def command_output(entry: str, most: int = MOST) -> bytes:
    """What a command writes, which neither reads the terminal nor outlives us.

    Args:
        entry: of wav.scp.
        most: bytes.

    Raises:
        CommandFailed: it failed, fell silent or wrote more than ``most`` bytes.
    """
    line = entry.rstrip().removesuffix("|")
    with (
        tempfile.TemporaryFile() as words,
        subprocess.Popen(
            ["sh", "-c", _SHELL, "sh", line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,
            preexec_fn=end_with_parent,
        ) as process,
    ):
        try:
            output = _read(process.stdout, most)
            status = process.wait()
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if status:
            words.seek(-min(words.tell(), 500), os.SEEK_CUR)
            said = " ".join(words.read().decode(errors="replace").split())
            raise CommandFailed(f"status {status} {said}".rstrip())
    return output


def _read(stream, most: int) -> bytes:
    """The output, as it comes."""
    output, last = bytearray(), time.monotonic()
    with selectors.DefaultSelector() as ready:
        ready.register(stream, selectors.EVENT_READ)
        while True:
            if not ready.select(max(0.0, last + SILENCE_S - time.monotonic())):
                raise CommandFailed(f"wrote nothing for {SILENCE_S:.0f} s")
            block = os.read(stream.fileno(), _BLOCK)
            if not block:
                return bytes(output)
            output += block
            last = time.monotonic()
            if len(output) > most:
                raise CommandFailed(f"wrote more than {most >> 20} MB")

#!/usr/bin/env python3
"""Lock a file that a shell has open, for as long as the shell or a child has it open.

    exec {fd}>> data/.lock
    lock.py <fd> <file> exclusive|shared|wait

The system lets go of the lock when its holders have ended, however they ended: a
killed run leaves none. The file says who was the last to lock it. If another run holds
the lock, its name goes to stderr and the exit status is 1; ``wait`` waits for its end
(and is exclusive). Deleting the file breaks a lock. ``shared`` after ``exclusive`` lets
others share.
"""

import contextlib
import errno
import fcntl
import os
import socket
import sys
import time
from pathlib import Path

ENDING_S = 15  # how long what a killed run started may take to end
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # NFS without


def holder(pid: int) -> str:
    """How a process is named in the file: pid and host, then for people."""
    script = os.environ.get("TASTE_COMMAND", "").strip()
    return f"pid {pid} on {socket.gethostname()} since {time.ctime()}: {script}"


def still_there(text: str) -> bool:
    """Whether the process that the file names may be at work."""
    words = text.split()
    if len(words) < 4 or words[0] != "pid" or int(words[1]) == own_pid():
        return False
    if words[3] != socket.gethostname():
        return True  # who knows
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def own_pid() -> int:
    return int(os.environ.get("RECIPE_PID") or os.getppid())


def lock(fd: int, path: Path, how: str) -> None:
    """Lock it.

    Raises:
        BlockingIOError: another run has it; the message names that.
    """
    kind = fcntl.LOCK_SH if how == "shared" else fcntl.LOCK_EX
    text = path.read_text(errors="replace").strip() if path.exists() else ""
    until = time.monotonic() + ENDING_S
    try:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
                break
            if how == "wait":
                print(f"waiting for {text}", file=sys.stderr)
                fcntl.flock(fd, kind)
                break
            if still_there(text) or time.monotonic() > until:
                raise BlockingIOError(text)
            time.sleep(0.2)  # what a killed run started is ending
    except OSError as error:
        if error.errno in NO_LOCKS and still_there(text):
            raise BlockingIOError(text) from None
        if error.errno not in NO_LOCKS:
            raise
    os.ftruncate(fd, 0)
    os.write(fd, f"{holder(own_pid())}\n".encode())


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        lock(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    except BlockingIOError as error:
        path = sys.argv[2]
        sys.exit(
            f"error: {path}: another run works here ({error}): wait, or kill it; if it "
            f"is gone (another machine's), rm {path}"
        )

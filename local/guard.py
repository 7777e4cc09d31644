#!/usr/bin/env python3
"""Run a recipe's script so that nothing it started outlives it.

    guard.py <script> [args...]

The script leads a process group of its own. The group is ended (SIGTERM; SIGKILL after
some seconds) when the script ends, when this process is told to end (TERM, INT, HUP,
QUIT), and when this process is killed: a second process, which has a pipe to this one,
notices that. Ctrl-Z stops the group. Nothing in it can read the terminal.
"""

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
GRACE_S = 5  # what launchers have to cancel their jobs in
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def prctl(option: int, value: int) -> None:
    """Ask Linux for it; elsewhere do without."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Ended(Exception):
    """A signal that ends the script came; its number."""


def raise_ended(signum: int, _frame) -> None:
    raise Ended(signum)


def end(group: int) -> None:
    """Signal the process group until nothing is left of it."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + GRACE_S
        with suppress(ProcessLookupError):
            os.killpg(group, signum)
            os.killpg(group, signal.SIGCONT)  # what is stopped gets it, too
            while time.monotonic() < until:
                with suppress(ChildProcessError):
                    while os.waitpid(-1, os.WNOHANG)[0]:
                        pass
                os.killpg(group, 0)  # is anyone there?
                time.sleep(0.05)
            continue
        return


def start_script(command: list[str]) -> int:
    """Start the command as leader of a session; its pid."""
    pid = os.fork()
    if pid:
        while os.getpgid(pid) != pid:  # until it is the leader
            time.sleep(0.001)
        return pid
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execvp(command[0], command)


def start_watcher(group: int) -> int:
    """Start the process that ends the group when this one has been killed; its pid."""
    alive, held = os.pipe()  # held open by this process alone: until its end
    pid = os.fork()
    if pid:
        os.close(alive)
        return pid
    os.setsid()
    for signum in ENDING:
        signal.signal(signum, signal.SIG_IGN)
    os.close(held)
    for standard in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), standard)
    os.read(alive, 1)
    end(group)
    os._exit(0)


def stop(group: int) -> None:
    """Ctrl-Z: stop the group and this process until it goes on."""
    os.killpg(group, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
    os.killpg(group, signal.SIGCONT)


def main(command: list[str]) -> int:
    """Run it; its exit status, or 128 + the signal that ended it or this process."""
    os.environ["RECIPE_PID"] = str(os.getpid())
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    script = start_script(command)
    watcher = start_watcher(script)
    for signum in ENDING:
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, raise_ended)  # nohup's HUP stays ignored
    signal.signal(signal.SIGTSTP, lambda *_: stop(script))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        pid = status = 0
        while pid != script:
            pid, status = os.wait()
            if pid == watcher:
                watcher = start_watcher(script)
    except Ended as ended:
        (status,) = ended.args
    for signum in ENDING:
        signal.signal(signum, signal.SIG_IGN)
    end(script)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(["bash", *sys.argv[1:]]))

"""Runs one command whose whole process tree ends when standard input does.

    supervisor.py [--remove DIRECTORY] -- COMMAND [ARGUMENT...]

The process that starts this script holds the other end of the pipe at standard input. However that process ends,
also by SIGKILL, the kernel closes its end, and this script then kills the command and everything the command started.
With --remove it deletes the directory after that. It exits with the command's own status (128 + N for signal N), or 0
when it was told to end.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time

LINUX = sys.platform.startswith("linux")
PR_SET_PDEATHSIG = 1  # Source: Linux, include/uapi/linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
KILL_SECONDS = 10.0


def prctl(option, value):
    """Asks the Linux kernel for a favour; elsewhere, or where it is refused, the other measures have to do."""
    if LINUX:
        try:
            ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
        except (OSError, AttributeError):
            pass


def parents():
    """The running processes: {pid: (parent's pid, process group)}, without those that have ended."""
    table = {}
    if LINUX:
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat", "rb") as stat:
                        # "pid (command) state ppid pgrp ...": the command may hold spaces and parentheses.
                        state, parent, group = stat.read().rpartition(b")")[2].split()[:3]
                except (OSError, ValueError):
                    continue
                if state not in (b"Z", b"X"):
                    table[int(name)] = (int(parent), int(group))
    else:
        listing = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        for line in listing.stdout.splitlines():
            pid, parent, group, state = line.split()[:4]
            if not state.startswith(b"Z"):
                table[int(pid)] = (int(parent), int(group))
    return table


def family(command):
    """What is left of the command's tree: our descendants, and the members of the command's group wherever they hang."""
    table = parents()
    found = {pid for pid, (_, group) in table.items() if group == command}
    frontier = found | {os.getpid()}
    while frontier:
        frontier = {pid for pid, (parent, _) in table.items() if parent in frontier} - found
        found |= frontier
    return found - {os.getpid()}


def reap():
    """Collects children that have ended: {pid: status}."""
    ended = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def kill_tree(command):
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        # Listed before anything is killed: an orphan may not be found any more.
        left = family(command)
        try:
            os.killpg(command, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        reap()
        if not left:
            return
        time.sleep(0.01)


def main(arguments):
    remove = None
    if arguments[:1] == ["--remove"]:
        remove, arguments = arguments[1], arguments[2:]
    if arguments[:1] != ["--"] or len(arguments) < 2:
        sys.exit(__doc__)

    # Orphans of the command become our children, so that the walk below finds them.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    stops = []
    for stop in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(stop, lambda number, _: stops.append(number))

    try:
        child = subprocess.Popen(
            arguments[1:],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # Should this script itself be killed, the command at least goes with it.
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )
    except OSError as error:
        print(f"cannot start {arguments[1]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)

    code = None
    try:
        while code is None and not stops:
            ready, _, _ = select.select([0, woken], [], [])
            if 0 in ready and not os.read(0, 4096):
                break
            if woken in ready:
                os.read(woken, 4096)
            status = reap().get(child.pid)
            if status is not None:
                code = os.waitstatus_to_exitcode(status)
    finally:
        child.returncode = 0  # Reaped here; Popen shall not look for it.
        kill_tree(child.pid)
        if remove is not None:
            shutil.rmtree(remove, ignore_errors=True)
    if code is None:
        code = 0
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[1:])

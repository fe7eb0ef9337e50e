"""The process between the caller and the method: builds the sandbox, runs the method in it, and tells what came out.

Three processes: this one, outside of the process namespace, keeps the time; the first process of that namespace waits
(when it ends, the kernel ends everything in it, daemons too); the second becomes the method. Each dies with the one
before it, so nothing outlives a caller that is killed. Nothing is written to disk: the inputs come through a pipe, and
the scratch folder is memory that goes with the last descriptor of it.

It reads a line of JSON and the bytes that it announces; it answers in the same way. See `wire`.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import sys
import time
from typing import NoReturn

from superalign.research.sandbox import landlock, linux, namespaces, seccomp
from superalign.research.sandbox.collect import collect
from superalign.research.sandbox.confine import confine
from superalign.research.sandbox.wire import Ended, Job, answer, read_job

_REPORTS = 3
_REPORT_BYTES = 16 * 1024
_PATIENCE = 2.0  # seconds for the first process to bury the others and add up what they used


def main() -> None:
    """One job from standard input, one answer to standard output."""
    linux.die_with(os.getppid())
    os.umask(0o022)
    job = read_job(sys.stdin.buffer)  # fails on half of one: its caller is gone
    try:
        ended = run(job)
    except OSError as error:
        ended = Ended(refused=str(error))
    sys.stdout.buffer.write(answer(ended))
    sys.stdout.buffer.flush()


def run(job: Job) -> Ended:
    """Build, run, read. Raises OSError where the sandbox cannot be built."""
    parent, root = os.getppid(), os.geteuid() == 0
    namespaces.enter(0 if "net" in job.off else linux.NEWNET)
    linux.die_with(parent)
    linux.hide_memory()
    shown = [f"/{n}" for n in os.listdir("/") if n != "dev"] if "view" in job.off else list(job.shown)
    inputs = {"method.py": job.code, "public.npz": job.arrays, "child.py": job.child}
    scratch = namespaces.view(shown, job.hidden, inputs, job.limits.disk)
    said, say = os.pipe()
    reports, report = os.pipe()
    failed, fail = os.pipe()
    ready, go = os.pipe()
    begun = time.monotonic()
    first = os.fork()
    if not first:
        os.close(go)
        _first(job, (say, report, fail, ready), beside=0 if root else 2)
    for end in (say, report, fail, ready):
        os.close(end)
    os.write(go, b"g")
    ended = _wait(first, job, said, reports)
    ended.wall = time.monotonic() - begun
    ended.refused = os.read(failed, 2000).decode(errors="replace")
    if not ended.refused and not ended.why and ended.code == 0:
        ended.result, ended.fault = collect(scratch, job.limits.result)
    return ended


def _first(job: Job, ends: tuple[int, int, int, int], beside: int) -> NoReturn:
    """The first process of the namespace: starts the method, buries what it leaves behind, ends with its code."""
    code = 1
    try:
        linux.die_with(0)
        say, report, fail, ready = ends
        if not os.read(ready, 1):  # its parent died before the line above; from in here that cannot be seen otherwise
            os._exit(1)
        method = os.fork()
        if not method:
            _become(job, say, report, fail, beside)
        signal.signal(signal.SIGTERM, lambda *_: _end_all())
        os.closerange(0, 3)
        for end in ends:
            os.close(end)
        while True:  # until nobody is left, so that what all of them used is counted
            found, status = os.wait()
            if found == method:
                code = os.waitstatus_to_exitcode(status)
                _end_all()
    except ChildProcessError:
        pass
    finally:
        os._exit(code if code >= 0 else 128 - code)


def _end_all() -> None:
    """Kill every process of the namespace but this one, its first."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def _become(job: Job, say: int, report: int, fail: int, beside: int) -> NoReturn:
    """Give up every right, then become the method's interpreter. What goes wrong before that is told through `fail`."""
    try:
        os.setsid()
        for source, target in ((os.open("/dev/null", os.O_RDONLY), 0), (say, 1), (say, 2)):
            os.dup2(source, target)
        os.dup2(report, _REPORTS)  # the number of the scratch folder or of a pipe's other end; `fail` is a higher one
        os.chdir(namespaces.SCRATCH)
        namespaces.become_nobody()
        linux.no_new_privileges()
        if "landlock" not in job.off and landlock.abi():
            landlock.restrict(_grants(job))
        if "seccomp" not in job.off and seccomp.known():
            seccomp.install()
        confine(job.limits, beside)
        os.execve(job.python[0], job.arguments(namespaces.INPUT, namespaces.SCRATCH), job.environment)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(fail, f"{type(error).__name__}: {error}".encode()[:2000])
    finally:
        os._exit(1)


def _grants(job: Job) -> list[tuple[str, int]]:
    granted = [(path, landlock.RUN) for path in job.shown if os.path.exists(path)]
    granted += [(namespaces.INPUT, landlock.LOOK), (namespaces.SCRATCH, landlock.KEEP)]
    return granted + [(device, landlock.USE) for device in namespaces.DEVICES]


def _wait(first: int, job: Job, said: int, reports: int) -> Ended:
    """Until the method ends, its time is up, or it has printed too much; then end everything in the namespace."""
    ended, told = Ended(), {said: bytearray(), reports: bytearray()}
    bounds = {said: job.limits.output, reports: _REPORT_BYTES}
    heard = set(told)  # still open
    deadline = time.monotonic() + job.limits.wall
    with selectors.DefaultSelector() as waiting:
        process = os.pidfd_open(first)
        for handle in (process, *told):
            waiting.register(handle, selectors.EVENT_READ)
        over = False
        while not over:
            left = deadline - time.monotonic()
            ready = {key.fd for key, _ in waiting.select(max(left, 0))}
            if left <= 0 and process not in ready:
                ended.why = "timeout"
            over = bool(ended.why) or process in ready
            for handle in heard & ready:
                if not _hear(handle, told[handle], bounds[handle]):
                    waiting.unregister(handle)
                    heard.remove(handle)
                    os.close(handle)  # a report that nobody reads must fail, not block the method
            over = over or len(told[said]) > bounds[said]
    os.kill(first, signal.SIGTERM)  # it is not reaped yet, so the number is still its own
    select.select([process], [], [], _PATIENCE)
    os.kill(first, signal.SIGKILL)
    _, status, used = os.wait4(first, 0)
    for handle in heard:  # nobody is left to write
        while _hear(handle, told[handle], bounds[handle]):
            pass
    if len(told[said]) > bounds[said]:
        ended.why = "output"
    ended.said, ended.reports = (bytes(told[handle][: bounds[handle]]) for handle in (said, reports))
    ended.code = os.waitstatus_to_exitcode(status)
    ended.cpu, ended.peak = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
    return ended


def _hear(handle: int, told: bytearray, bound: int) -> bool:
    """Take what is there; False at the end, or when there is more than enough."""
    data = os.read(handle, 1 << 16)
    told += data[: bound + 1 - len(told)]
    return bool(data) and len(told) <= bound


if __name__ == "__main__":
    main()

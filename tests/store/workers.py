"""Other processes for the tests: `python workers.py NAME URL ...`. They talk through their output."""

from __future__ import annotations

import hashlib
import os
import sys
import time

from superalign.store import open_store

MEBIBYTE = 1024 * 1024


def payload(number: int) -> bytes:
    """The bytes of artifact `number`: 4.5 to 9.5 MiB, so two or three chunks."""
    size = 9 * MEBIBYTE // 2 + (number % 6) * MEBIBYTE
    return hashlib.shake_256(str(number).encode()).digest(64) * (size // 64)


def say(*words: object) -> None:
    print(*words, flush=True)


def append(url: str, writer: str, times: str) -> None:
    """Append one event at a time, never more than 20 ahead of the other writer, so that the two really meet."""
    with open_store(url) as store:
        say("ready")
        sys.stdin.readline()
        deadline = time.monotonic() + 60  # where the other one has failed
        for i in range(int(times)):
            while (
                time.monotonic() < deadline
                and i % 20 == 19
                and sum(e.body["writer"] != writer for e in store.read("shared")) < i - 18
            ):
                time.sleep(0.001)
            store.append("shared", [{"writer": writer, "i": i}])
    say("done")


def produce(url: str) -> None:
    """Put and append for ever, saying each time what is finished."""
    store = open_store(url)
    number = 0
    while True:
        say("put", number, store.put(f"artifact/{number}", payload(number), {"number": number}))
        head = store.append("log", [{"number": number, "part": part} for part in range(3)])
        say("appended", number, head)
        number += 1


def race_to_open(url: str) -> None:
    """Open a place that may not be there yet, at the same moment as others."""
    say("ready")
    sys.stdin.readline()
    with open_store(url) as store:
        store.append("opened", [{"process": os.getpid()}])
    say("done")


def fork(url: str) -> None:
    """Append in a child that was forked with the store open, and in the parent at the same time."""
    store = open_store(url)
    store.append("forked", [{"from": "before"}])
    child = os.fork()
    for i in range(50):
        store.append("forked", [{"from": "parent" if child else "child", "i": i}])
    if child == 0:
        os._exit(0)
    say("child", os.waitpid(child, 0)[1])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

"""Other processes for the tests: `python workers.py NAME URL ...`. They talk through their output."""

from __future__ import annotations

import sys
import threading
import time

from superalign.compute.budget import Account
from superalign.store import open_store

STREAM = "budget/shared"


def say(*words: object) -> None:
    print(*words, flush=True)


def spend(url: str, name: str, threads: str) -> None:
    """So many workers, on one account of their process, take pieces of work until one is refused."""
    account = Account(open_store(url), STREAM)
    failed: list[BaseException] = []
    go = threading.Event()

    def work(worker: int) -> None:
        try:
            go.wait(60)
            for piece in range(1000):
                hold = f"{name}/{worker}/{piece}"
                most = 1 + (worker + piece) % 3
                if not account.reserve(hold, {"evaluations": most, "usd": most / 10}, "a piece"):
                    return
                # every fifth goes over what it set aside, the others use less or all of it
                used = most + 1 if (worker + piece) % 5 == 0 else (worker + piece) % (most + 1)
                account.settle(hold, {"evaluations": used, "usd": used / 10, "seconds": 0.5})
        except BaseException as error:
            failed.append(error)

    started = [threading.Thread(target=work, args=(k,)) for k in range(int(threads))]
    for thread in started:
        thread.start()
    say("ready")
    sys.stdin.readline()
    go.set()
    for thread in started:
        thread.join()
    say(failed or "done")


def hold(url: str, name: str) -> None:
    """Set aside six evaluations, and never come back."""
    account = Account(open_store(url), STREAM)
    say(account.reserve(name, {"evaluations": 6}, ttl=60.0).status)
    time.sleep(600)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

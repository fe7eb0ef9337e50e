"""First byte of every page with a full store: 1,000 records, 50,000 questions at a desk, a record with 50,000 games,
one with 10,000 units; and 20 people judging at once.

    OMP_NUM_THREADS=1 python benchmarks/web.py [--records 1000] [--questions 50000] [--json]

The store is made in a temporary folder; the server runs in a process of its own, as `superalign serve` starts it. After
`--settle` seconds (it reads its store in the background) each page is asked for eleven times: the first time, when
nothing of it may be in memory, and the median and the worst of the ten others. Then
20 people answer at once through HTTP for some seconds while pages are read; every answer must be in the store, once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from superalign.core import records
from superalign.core.spec import Condition, Number, Record
from superalign.core.types import Ask, Item, Message, Seat, Verdict
from superalign.interp.dossier import Dossier, Excerpt, to_json
from superalign.interp.units import Explanation, Score, Unit
from superalign.people.desk import Desk
from superalign.people.questions import question_of
from superalign.protocols.played import Archive, Played, Turn, pack
from superalign.store import open_store
from superalign.store.sql import SqlStore

JUDGES, SECONDS = 20, 10.0
LIMIT = 0.2
"""Seconds to the first byte that no page may take."""
GAMES, UNITS = 50_000, 10_000
ADDRESSES = {
    "home": "/",
    "runs": "/runs",
    "runs, a search": "/runs?q=number+99",
    "runs, page 15": "/runs?page=15",
    "runs.json": "/runs.json",
    "a record": f"/runs/w2s-{7:08x}",
    "two records compared": f"/compare?run=w2s-{1:08x}&run=w2s-{3:08x}",
    "games of a record": "/runs/many-games/games",
    "games, a search": "/runs/many-games/games?q=number+4999",
    "games, the last page": "/runs/many-games/games?page=1000",
    "a game": f"/runs/many-games/games/{77:012x}",
    "units of a record": "/runs/many-units/units",
    "units, a search": "/runs/many-units/units?q=word999",
    "a unit": "/runs/many-units/units/mlp.0-77",
    "leaderboards": "/boards",
    "campaigns": "/campaigns",
    "desks": "/judge",
    "a desk": "/judge/people",
    "agreement": "/judge/people/agreement",
    "my score": "/judge/people/feedback",
    "entrance": "/enter",
}


def main() -> None:
    """Fill a store, time the pages, then let people answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--questions", type=int, default=50_000)
    parser.add_argument("--settle", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.sqlite"
        seconds = filled(file, given.records, given.questions)
        with Served(file) as server:
            time.sleep(given.settle)
            pages = {name: timed(server.url, path) for name, path in ADDRESSES.items()}
            judged = together(server.url, file)
    result = {
        "records": given.records, "questions": given.questions, "filled_s": round(seconds, 1), "cores": os.cpu_count(),
        "start_s": round(server.seconds, 2), "first_byte_s": pages, "judges": judged,
    }  # fmt: skip
    print(json.dumps(result, indent=2)) if given.json else show(result)


def filled(file: Path, count: int, questions: int) -> float:
    """Make the store; the seconds that it took."""
    start = time.perf_counter()
    with open_store(file) as store:
        for k in range(count):
            records.save(store, record(k))
        for one in (many_games(store), many_units(store)):
            records.save(store, one)
        asks = [ask(k) for k in range(questions)]
        Desk(store).post([question_of(hashlib.sha256(b"%d" % k).hexdigest(), a) for k, a in enumerate(asks)])
    return time.perf_counter() - start


def record(k: int) -> Record:
    """A study of four conditions with ten numbers each."""
    numbers = {f"number_{j}": Number(value=j / 10, low=j / 10 - 0.05, high=j / 10 + 0.05, n=1_000) for j in range(10)}
    conditions = tuple(Condition(name=f"condition {c}", numbers=numbers) for c in range(4))
    return Record(
        id=f"w2s-{k:08x}", study="w2s" if k % 2 else "oversee", title=f"A study of something, number {k}",
        spec={"study": "w2s", "seeds": [k]}, spec_hash=f"{k:064x}", created="2026-01-01T00:00:00+00:00",
        versions={"superalign": "0"}, machine={}, conditions=conditions,
    )  # fmt: skip


def many_games(store: SqlStore) -> Record:
    """A study with `GAMES` debates."""
    items = {f"i{k}": Item(f"i{k}", f"Which is right, number {k}?", ("one", "another")) for k in range(GAMES // 4)}
    decided = Turn("judge", "bow", "", ("one", "another"), (0.3, 0.7), saw="the debate")
    turns = (Turn("debater/a", "parrot", "Because."), Turn("debater/b", "owl", "Not at all."), decided)
    games = tuple(
        Played(f"{k:012x}", "debate", f"i{k % len(items)}", Seat(k), turns, Verdict(1, (0.3, 0.7)), float(k % 2))
        for k in range(GAMES)
    )
    store.put("games/many", pack(Archive(items, games)))
    return record(0).model_copy(
        update={"id": "many-games", "study": "oversee", "artifacts": {"games/debate": "games/many"}}
    )


def many_units(store: SqlStore) -> Record:
    """A study of `UNITS` neurons."""
    words = tuple(f" word{k}" for k in range(32))
    shown = tuple(Excerpt(k, "document", "test", "top", words, (0.0, 1.0) * 16) for k in range(8))
    lines = [
        to_json(
            Dossier(
                Unit("mlp.0", k), 10_000, 0.01, 0.1, 2.0, excerpts=shown,
                explanations=(Explanation(f"words such as word{k}"),),
                scores=(Score("correlation:random-only", Number(value=k / UNITS, low=0.0, high=1.0)),),
            )
        )
        for k in range(UNITS)
    ]  # fmt: skip
    store.put("units/many", "\n".join(lines).encode())
    return record(0).model_copy(
        update={"id": "many-units", "study": "interp", "artifacts": {"units/all": "units/many"}}
    )


def ask(k: int) -> Ask:
    """A debate before a judge, of 2 kB."""
    item = Item(f"item-{k}", f"Which is right, number {k}?", ("the first", "the second"))
    speech = '<speech by="Debater {}" round="1">\n' + "Because of a reason that takes some words. " * 20 + "\n</speech>"
    text = f"{item.prompt}\n\n(A) the first\n(B) the second\n\n{speech.format('A')}\n{speech.format('B')}\n\nWhich?"
    return Ask("judge", (Message("user", text),), item.choices, item)


class Served:
    """`superalign serve` on a free port, in a process of its own."""

    def __init__(self, file: Path) -> None:
        self.file, self.url, self.seconds = file, "", 0.0

    def __enter__(self) -> Served:
        start = time.perf_counter()
        command = [sys.executable, "-m", "superalign", "serve", "--port", "0", "--store", str(self.file)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = re.search(r"http://\S+", self.process.stdout.readline())[0]  # type: ignore[index]
        self.seconds = time.perf_counter() - start
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)


def timed(url: str, path: str) -> dict[str, float]:
    """Seconds to the first byte: first request, median and worst of ten more."""
    with httpx.Client(base_url=url, follow_redirects=True, timeout=60) as client:
        entered(client, "bench")
        times = []
        for _ in range(11):
            start = time.perf_counter()
            with client.stream("GET", path) as answer:
                next(answer.iter_raw(), b"")
                times.append(time.perf_counter() - start)
                assert answer.status_code == 200, (path, answer.status_code)
    return {
        "first": round(times[0], 4),
        "median": round(statistics.median(times[1:]), 4),
        "worst": round(max(times[1:]), 4),
    }


def entered(client: httpx.Client, person: str) -> str:
    """Come in under a name; the session's secret."""
    secret = re.search(r'data-csrf="([^"]+)"', client.get("/enter").text)[1]  # type: ignore[index]
    client.post("/enter", data={"csrf": secret, "person": person})
    return secret


def together(url: str, file: Path) -> dict[str, Any]:
    """`JUDGES` people answer as fast as they can for `SECONDS`; what was sent against what is in the store."""
    sent: Counter[str] = Counter()
    waits: list[float] = []
    failed: list[str] = []
    lock, end = threading.Lock(), time.perf_counter() + SECONDS

    def judge(name: str) -> None:
        with httpx.Client(base_url=url, follow_redirects=True, timeout=60) as client:
            secret = entered(client, name)
            page = client.post("/judge/people/next", data={"csrf": secret})
            while time.perf_counter() < end:
                call = page.url.path.rpartition("/")[2]
                start = time.perf_counter()
                page = client.post(
                    f"/judge/people/{call}/answer", data={"csrf": secret, "choice": "0", "confidence": "80"}
                )
                if page.status_code != 200:
                    failed.append(f"{page.status_code}: {page.text[-500:]}")
                    return
                with lock:
                    sent[f"{name} {call}"] += 1
                    waits.append(time.perf_counter() - start)

    threads = [threading.Thread(target=judge, args=(f"judge {k}",)) for k in range(JUDGES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]
    with open_store(file) as store:
        rows = [e.body for e in store.read("people/people") if e.body["kind"] == "answered"]
    kept = Counter(f"{r['person']} {r['call']}" for r in rows)
    twice = sum(n > 1 for n in Counter(r["call"] for r in rows).values())
    lost = sum((sent - kept).values())
    assert lost == 0, f"{lost} answers were lost"
    assert twice == 0, f"{twice} questions were answered by two people though one was asked for"
    return {
        "people": JUDGES, "seconds": SECONDS, "answers": sum(sent.values()), "lost": lost, "twice": twice,
        "answer_and_next_median_s": round(statistics.median(waits), 3), "worst_s": round(max(waits), 3),
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    """The times as a table."""
    print(f"{result['records']:,} records, {result['questions']:,} questions, {result['cores']} cores;"
          f" the server answered {result['start_s']} s after it was started")  # fmt: skip
    print(f"{'page':44}{'first':>9}{'median':>9}{'worst':>9}")
    for path, times in result["first_byte_s"].items():
        slow = "  over 200 ms" if max(times.values()) > LIMIT else ""
        print(f"{path:44}{times['first']:9.3f}{times['median']:9.3f}{times['worst']:9.3f}{slow}")
    j = result["judges"]
    print(
        f"{j['people']} people answered {j['answers']:,} questions in {j['seconds']:g} s: {j['lost']} lost, {j['twice']} twice;"
        f" an answer and the next question in {j['answer_and_next_median_s']} s (worst {j['worst_s']})"
    )


if __name__ == "__main__":
    main()

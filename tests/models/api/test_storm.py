"""Five thousand calls against a server that does everything wrong: none is lost, none is answered twice."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict

from superalign.core.types import Ask, Message, Pending, Reply
from superalign.models.api import api
from superalign.models.api.wire import KINDS
from tests.models.api.server import Answer, Heard, Server, chat, complaint

N = 5000
NEVER = {0: complaint(400, "no"), 1: chat("x", "other"), 2: complaint(401, "who?")}
"""What becomes of the first asks, which are never answered."""
LATE = 1.5
"""Seconds, longer than anybody waits."""


class Storm:
    """Its mood at each try is drawn from the call's key, so that it is the same for every order of events."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.answered: defaultdict[str, int] = defaultdict(int)
        self.lock = threading.Lock()

    def __call__(self, heard: Heard) -> Answer:
        key = heard.headers["idempotency-key"]
        with self.lock:
            self.tries[key] += 1
            tries = self.tries[key]
        number, mood = int(heard.said), random.Random(f"{key} {tries}")
        if number < 60:
            return NEVER[number % 3]
        good, draw = chat(f"re {number}"), mood.random()
        if number % 1000 == 999 and tries == 1:
            return good.later(LATE)
        bad = [
            (0.030, complaint(429, "slow down")),
            (0.020, complaint(429, "slow down", retry_after_ms="1")),
            (0.005, complaint(429, "slow down", x_ratelimit_remaining="0", x_ratelimit_reset="2ms")),
            (0.030, complaint(500, "oops")),
            (0.015, complaint(503, "down")),
            (0.015, Answer(body=good.body, cut=mood.randrange(len(good.body)))),
            (0.010, Answer(body=b'{"choices": [')),
            (0.010, Answer()),
            (0.005, Answer(raw=b"garbage")),
        ]
        for share, answer in bad:
            draw -= share
            if draw < 0:
                return answer
        with self.lock:
            self.answered[key] += 1
        return good.later(min(0.05, 0.002 * mood.paretovariate(1.2)) if mood.random() < 0.1 else 0.0)  # a heavy tail


def test_five_thousand_calls_in_a_storm() -> None:
    asks = [Ask("debater/a", (Message("user", str(k)),)) for k in range(N)]
    replies: list[tuple[int, Reply | Pending]] = []  # appending is atomic
    storm = Storm()
    with Server(storm) as server:
        model = api(server.url, model="m", concurrency=6, timeout=1.0, retries=3, backoff=0.001)

        def alone(rows: range) -> None:
            for k in rows:
                replies.extend((k, reply) for _, reply in model.answer([asks[k]]))

        def together(rows: range) -> None:
            for i, reply in model.answer([asks[k] for k in rows]):
                replies.append((rows[i], reply))

        works = [(alone, range(k, N // 2, 4)) for k in range(4)] + [(together, range(N // 2 + k, N, 2)) for k in (0, 1)]
        threads = [threading.Thread(target=work, args=(rows,)) for work, rows in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(k for k, _ in replies) == list(range(N))
    kinds: Counter[str] = Counter()
    for k, reply in replies:
        assert isinstance(reply, Reply)
        if reply.failure is None:
            assert (k >= 60, reply.text) == (True, f"re {k}")
        else:
            assert reply.text == ""
            kinds[next(kind for kind in KINDS if reply.failure.startswith(kind))] += 1
    assert {kind: kinds[kind] for kind in ("refused", "wrong model", "key")} == {
        "refused": 20, "wrong model": 20, "key": 20,
    }  # fmt: skip
    answered = N - kinds.total()
    assert answered >= 0.97 * N
    assert answered <= len(storm.answered) <= N - 60
    assert sum(storm.tries.values()) == len(server.requests) > 1.05 * N
    assert 1 < server.busiest <= 6 + 5, "an answer that nobody waits for is still under way"

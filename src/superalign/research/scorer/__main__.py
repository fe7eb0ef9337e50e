"""The scorer's process: `python -m superalign.research.scorer`, with its orders as one line of JSON on stdin.

The orders name the store, the campaign, the folder of keys, the socket, and the first entry. The key is made here and
stays here: the first entry commits to it, `close` publishes it. The process cannot be looked into by others of the same
user and ends with whoever started it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from superalign.core.errors import StoreError, SuperalignError
from superalign.research.ledger import INDEX, Ledger, commitment
from superalign.research.running import Bench, testbed_named
from superalign.research.sandbox import linux
from superalign.research.scorer.desk import ScorerDesk
from superalign.research.scorer.secret import key_of
from superalign.research.scorer.wire import Desk
from superalign.store import open_store


def main() -> None:
    """Serve until the socket's owner asks for `stop`, or ends."""
    orders, answer = json.loads(sys.stdin.readline()), sys.stdout
    sys.stdout = sys.stderr  # a testbed may print as it is read
    linux.hide_memory()
    linux.die_with(orders["parent"])
    with open_store(orders["store"]) as store:
        key = key_of(Path(orders["home"]), orders["campaign"])
        ledger = Ledger(store, orders["campaign"], key)
        genesis = begun(ledger, orders["genesis"], key)
        bench = Bench(testbed_named(genesis["testbed"], store), store)
        desk = ScorerDesk(store, orders["campaign"], key, bench, genesis["public"], int(genesis["submissions"]))

        def close(request: Mapping[str, Any]) -> dict[str, Any]:
            said = {"name": str(request["name"])[:200], "decision": str(request["decision"])[:2000]}
            entry = ledger.write("sign_off", "scorer", {**said, "head": ledger.head, "key": key.hex()})
            return {"entry": entry.number}

        with Desk(Path(orders["socket"]), {**desk.answers(), "close": close}) as server:
            print("ready", file=answer, flush=True)
            server.serve_forever(poll_interval=0.2)


def begun(ledger: Ledger, genesis: Mapping[str, Any], key: bytes) -> Mapping[str, Any]:
    """The first entry, written if there is none. It stays what it was: a campaign's question is frozen.

    Raises StoreError where it commits to another key.
    """
    if not ledger.entries():
        ledger.store.append(INDEX, [{"campaign": ledger.campaign}])
    asked = {**genesis, "commitment": commitment(key)}
    first = ledger.decide("genesis", "scorer", lambda: next(iter(ledger.entries()), asked)).payload
    if first.get("commitment") != commitment(key):
        raise StoreError(
            f"the key here is not the one that {ledger.campaign} commits to in its first entry; it was begun elsewhere, so "
            "bring its key along: the folder `research` beside the store"
        )
    return first


if __name__ == "__main__":
    try:
        main()
    except SuperalignError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)

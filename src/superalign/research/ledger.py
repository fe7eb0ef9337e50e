"""The ledger of a campaign: a hash-chained stream of the store that every number of a report goes back to.

Entries are appended one at a time at a known head, so two writers never write past one another. What the scorer
writes carries a signature over the head it was written at: a chain alone does not stop whoever can rewrite all of it.
The key is committed to in the first entry and published when the campaign is closed, so that anyone can check.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from superalign.compute.replica import Row, decide
from superalign.core.errors import StoreError
from superalign.core.ports import Store
from superalign.core.study import now

Type = Literal[
    "genesis", "propose", "refuse", "reserve", "run_start", "run_end", "score", "prereg", "confirm", "audit",
    "verdict", "finding", "spend", "settle", "sign_off", "alarm", "care",
]  # fmt: skip

SIGNED = ("score", "confirm", "verdict", "audit", "alarm")
"""Only the scorer writes these."""

INDEX = "research"
"""The stream that names every campaign that was begun in a store."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: its number from 1, when, who, what, and the hash of the chain up to it."""

    number: int
    time: str
    actor: str
    type: str
    payload: Mapping[str, Any]
    hash: str
    signature: str = ""

    def field(self, path: str) -> Any:
        """A value inside the payload by a dotted path. Raises KeyError where there is none."""
        found: Any = self.payload
        for part in path.split("."):
            found = found[int(part)] if isinstance(found, list) else found[part]
        return found


class Ledger:
    """A campaign's ledger. `key` is the scorer's, which nobody else holds."""

    def __init__(self, store: Store, campaign: str, key: bytes | None = None) -> None:
        self.store, self.campaign, self._key = store, campaign, key
        self._entries: list[Entry] = []

    @property
    def stream(self) -> str:
        """The name of the stream in the store."""
        return f"research/{self.campaign}"

    def entries(self) -> list[Entry]:
        """Every entry, oldest first. Raises StoreError where the chain is broken, and with the key also for what only
        the scorer writes and did not sign: nothing is decided on results of somebody else's."""
        for event in self.store.read(self.stream, len(self._entries)):
            found = _entry(event.position, event.body, event.hash)
            if self._key is not None and found.type in SIGNED:
                head = self._entries[-1].hash if self._entries else ""
                if not hmac.compare_digest(
                    sign(self._key, self.campaign, head, found.type, found.payload), found.signature
                ):
                    raise StoreError(
                        f"entry {found.number} ({found.type}) is not signed by this campaign's scorer: somebody else wrote "
                        f"it, so nothing more is decided; type: superalign research verify {self.campaign}"
                    )
            self._entries.append(found)
        return list(self._entries)

    @property
    def head(self) -> str:
        """The hash of the last entry; empty for a ledger that was not begun."""
        found = self.entries()
        return found[-1].hash if found else ""

    def of(self, *types: Type) -> list[Entry]:
        """The entries of some types, oldest first."""
        return [e for e in self.entries() if e.type in types]

    def write(self, kind: Type, actor: str, payload: Mapping[str, Any]) -> Entry:
        """Append an entry. Raises StoreError for one that only the scorer may write."""
        return self.decide(kind, actor, lambda: payload)

    def decide(self, kind: Type, actor: str, choose: Callable[[], Mapping[str, Any] | Entry]) -> Entry:
        """Append an entry with the payload that `choose` gives at the newest head, or return the entry that it gives
        instead, because that is there already. It is asked again where somebody else wrote first, so it must not act.

        Raises StoreError for an entry that only the scorer may write.
        """
        if kind in SIGNED and self._key is None:
            raise StoreError(f"an entry {kind!r} is written by the scorer, not by {actor!r}")
        chosen: Mapping[str, Any] | Entry = {}

        def rows(head: str) -> list[Row]:
            nonlocal chosen
            chosen = choose()
            if isinstance(chosen, Entry):
                return []
            body = {"time": now(), "actor": actor, "type": kind, "payload": dict(chosen)}
            if self._key is not None:
                body["signature"] = sign(self._key, self.campaign, head, kind, chosen)
            return [body]

        _, head = decide(self.store, self.stream, lambda: self.head, rows)
        return chosen if isinstance(chosen, Entry) else next(e for e in self.entries() if e.hash == head)


def campaigns(store: Store) -> list[str]:
    """The campaigns of a store, in the order in which they were begun; those that run are among them."""
    return list(dict.fromkeys(str(event.body["campaign"]) for event in store.read(INDEX)))


def _entry(position: int, body: Mapping[str, Any], head: str) -> Entry:
    try:
        return Entry(
            position, body["time"], body["actor"], body["type"], body["payload"], head, body.get("signature", "")
        )
    except (KeyError, TypeError) as error:
        raise StoreError(f"entry {position} of the ledger has no {error}; it was not written by superalign") from error


def sign(key: bytes, campaign: str, head: str, kind: str, payload: Mapping[str, Any]) -> str:
    """HMAC-SHA256 over the campaign, the head before the entry, its type and its payload."""
    said = json.dumps([campaign, head, kind, dict(payload)], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()


def commitment(key: bytes) -> str:
    """What the first entry says of the key."""
    return hashlib.sha256(b"superalign research " + key).hexdigest()


def seed_of(key: bytes, registration: str, number: int) -> int:
    """The scorer's seed `number` for a pre-registration: fixed by both, foreseen by nobody without the key."""
    word = hmac.new(key, f"{registration}|{number}".encode(), hashlib.sha256).digest()
    return int.from_bytes(word[:8], "big") >> 1


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of a ledger found."""

    entries: int
    head: str
    signatures: int
    faults: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def verify(store: Store, campaign: str, key: bytes | None = None) -> Verified:
    """Walk the chain, its signatures and its order.

    `key` checks a campaign that is still open; a closed one has published its own. Faults are told, not raised.
    """
    ledger = Ledger(store, campaign)
    try:
        entries = ledger.entries()
    except StoreError as error:
        return Verified(0, "", 0, (str(error),))
    if not entries:
        return Verified(0, "", 0, (f"there is no ledger of {campaign!r}",))
    faults = _order(entries)
    published, unread = _published(entries)
    faults += unread
    known = published if published is not None else key
    checked = 0
    if known is not None:
        if commitment(known) != entries[0].payload.get("commitment"):
            faults.append("the scorer's key is not the one that the first entry commits to")
        checked, wrong = _signatures(known, campaign, entries)
        faults += wrong
        faults += _seeds(known, entries)
    unsigned = [e.number for e in entries if e.type in SIGNED and not e.signature]
    faults += [f"entry {n} is of the scorer's kind but not signed" for n in unsigned]
    return Verified(len(entries), entries[-1].hash, checked, tuple(faults))


def _published(entries: list[Entry]) -> tuple[bytes | None, list[str]]:
    """The key that closes the campaign, and what claims to be one and is none."""
    faults: list[str] = []
    for entry in entries:
        if entry.type == "sign_off" and "key" in entry.payload:
            try:
                return bytes.fromhex(entry.payload["key"]), faults
            except (ValueError, TypeError):
                faults.append(f"entry {entry.number} publishes a key that is not in hexadecimal digits")
    return None, faults


def _order(entries: list[Entry]) -> list[str]:
    """First the beginning, then registrations, then their confirmations, each once, then verdicts."""
    faults = [] if entries[0].type == "genesis" else ["the ledger does not begin with its genesis"]
    faults += [f"entry {e.number} begins the ledger a second time" for e in entries[1:] if e.type == "genesis"]
    registered: set[str] = set()
    confirmed: set[str] = set()
    for entry in entries:
        which = str(entry.payload.get("registration", ""))
        if entry.type == "prereg":
            registered.add(which)
        if entry.type == "confirm":
            if which not in registered:
                faults.append(f"entry {entry.number} confirms {which!r}, which was not registered before")
            if which in confirmed:
                faults.append(f"entry {entry.number} confirms {which!r} a second time")
            confirmed.add(which)
        if entry.type == "verdict" and which not in confirmed:
            faults.append(f"entry {entry.number} gives a verdict on {which!r}, which was not confirmed before")
    return faults


def _signatures(key: bytes, campaign: str, entries: list[Entry]) -> tuple[int, list[str]]:
    faults, head, checked = [], "", 0
    for entry in entries:
        if entry.signature:
            checked += 1
            if not hmac.compare_digest(sign(key, campaign, head, entry.type, entry.payload), entry.signature):
                faults.append(f"the signature of entry {entry.number} ({entry.type}) does not fit")
        head = entry.hash
    return checked, faults


def _seeds(key: bytes, entries: list[Entry]) -> list[str]:
    faults = []
    for entry in entries:
        seeds = entry.payload.get("seeds") if entry.type == "confirm" else None
        which = str(entry.payload.get("registration", ""))
        if seeds is not None and list(seeds) != [seed_of(key, which, k) for k in range(len(seeds))]:
            faults.append(f"entry {entry.number} was confirmed on other seeds than the key gives")
    return faults

"""A campaign as its ledger tells it: claims with what became of them, and the phrases that several sections share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from superalign.report.research.blocks import Interval, Piece, Source, Text, joined, say
from superalign.report.research.provenance import Book, Ref, ReportError
from superalign.research.ledger import Entry, Verified

if TYPE_CHECKING:
    from superalign.research.space import Space

Rows = Sequence[Mapping[str, Any]]

SOURCES = {
    name: Source(name, work)
    for name, work in {
        "Burns et al. 2023": "Weak-to-strong generalization: eliciting strong capabilities with weak supervision.",
        "Blum and Hardt 2015": "The Ladder: a reliable leaderboard for machine learning competitions. ICML.",
        "Holm 1979": "A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6:65.",
        "Clopper and Pearson 1934": "The use of confidence or fiducial limits illustrated in the case of the binomial. "
        "Biometrika 26:404.",
        "Gower 1971": "A general coefficient of similarity and some of its properties. Biometrics 27:857.",
        "Newcombe 1998": "Interval estimation for the difference between independent proportions. Statistics in Medicine "
        "17:873.",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A registered claim, its confirmation and the last verdict on it, where they are there."""

    registered: Entry
    confirmed: Entry | None
    judged: Entry | None

    @property
    def exploratory(self) -> bool:
        """Whether it is against published settings alone."""
        return bool(self.registered.payload.get("exploratory"))

    @property
    def settings(self) -> str:
        """Of the baselines: `published` or `tuned`."""
        return "published" if self.exploratory else "tuned"


class Campaign:
    """A ledger's entries by type and claim, and the book through which its values are printed.

    Raises ReportError for entries that are no ledger, or are not those that were verified.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        verified: Verified,
        space: Space | None = None,
        tables: Mapping[str, Rows] | None = None,
    ) -> None:
        if not entries or entries[0].type != "genesis":
            why = "; ".join(verified.faults) or "it does not begin with its genesis"
            raise ReportError(f"there is no ledger to report on: {why}")
        if verified.head and verified.head != entries[-1].hash:
            raise ReportError(
                f"the ledger was verified at {verified.head[:12]} and ends at {entries[-1].hash[:12]}; it has grown, so "
                "verify it again and report on the same entries"
            )
        self.entries, self.verified, self.space = list(entries), verified, space
        extra = {"distance": distance(space)} if space is not None else {}
        self.book = Book(entries, verified, tables, extra, space.neutral if space is not None else None)
        try:
            self.claims = self._claims()
            self.ended = {int(e.payload["proposal"]): e for e in self.of("run_end")}
            """How each proposal's run ended, by the proposal's entry."""
        except (KeyError, TypeError, ValueError) as error:
            raise ReportError(f"a run of the ledger does not say of which proposal it is: {error!r}") from error

    def of(self, *types: str) -> list[Entry]:
        """The entries of some types, oldest first."""
        return [e for e in self.entries if e.type in types]

    def _claims(self) -> list[Claim]:
        """Those that count first, each kind in the order of registration."""
        last = {kind: {str(e.payload.get("registration")): e for e in self.of(kind)} for kind in ("confirm", "verdict")}
        found: dict[str, Claim] = {}
        for entry in self.of("prereg"):
            which = str(entry.payload.get("registration"))
            found.setdefault(which, Claim(entry, last["confirm"].get(which), last["verdict"].get(which)))
        return sorted(found.values(), key=lambda c: c.exploratory)

    @property
    def same(self) -> Entry | None:
        """The last audit of methods against themselves."""
        return next((e for e in reversed(self.of("audit")) if e.payload.get("audit") == "a-a"), None)

    def counted(self, entries: Sequence[Entry]) -> Ref:
        """How many entries there are, as a number that leads to them."""
        return self.book.derived("count", [self.book.entry(e) for e in entries])

    def sum(self, path: str, entries: Sequence[Entry], form: str) -> Ref:
        """The sum of a value of some entries."""
        return self.book.derived("total", [self.book.ref(f"{e.number}.{path}") for e in entries], form)

    def estimate(self, path: str) -> Text:
        """The estimate under a path with its interval."""
        ref = self.book.ref
        if ref(f"{path}.estimate").value is None:
            return ("undefined",)
        doubt = Interval(ref(f"{path}.low", "+.3f"), ref(f"{path}.high", "+.3f"))
        return ref(f"{path}.estimate", "+.3f"), " ", doubt

    def same_rate(self) -> Text:
        """The rate at which methods differ from themselves, as it stands beside every word."""
        if self.same is None:
            return ("not measured",)
        ref, at = self.book.ref, self.same.number
        found = {k: ref(f"{at}.{k}") for k in ("found", "pairs")}
        if ref(f"{at}.statistic").value is None:
            return ("not measured",)
        doubt = Interval(ref(f"{at}.low", ".2f"), ref(f"{at}.high", ".2f"))
        return say("{found} of {pairs} {doubt}", **found, doubt=doubt)

    def optional(self, path: str, form: str) -> Text:
        """A value that an entry need not have."""
        number, _, field = path.partition(".")
        return (self.book.ref(path, form),) if field in self.book.entries[number].payload else ("none",)

    def baselines(self, claim: Claim) -> Text:
        """The names of a claim's baselines."""
        at = claim.registered.number
        names = [(self.book.key(f"{at}.baselines.{name}"),) for name in claim.registered.payload["baselines"]]
        return joined(names, last=" and ")


def distance(space: Space) -> Any:
    """The registered function of a space's distance."""

    def gower(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
        """Gower's distance of two methods: the mean difference over the axes of the space."""
        return space.distance(space.check(point(a)), space.check(point(b)))

    return gower


def point(method: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values of a typed method, committed or plain."""
    return method["values"] if "values" in method and "kind" in method else method


def cite(name: str) -> Piece:
    """A citation of one of `SOURCES`."""
    return SOURCES[name]

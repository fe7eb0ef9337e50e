"""The sections behind the results: limits, words of others, the ledger, the signature, and how to read all of it."""

from __future__ import annotations

from collections.abc import Iterator

from superalign.report import charts
from superalign.report.research.blocks import Block, Bullets, Figure, Paragraph, Table, Text, heads, joined, say, struck
from superalign.report.research.view import SOURCES, Campaign, cite
from superalign.research.ledger import Entry

GROUPS = 100
"""Different words of others of a kind that are quoted; the appendix has them all."""
ENOUGH = 0.8
FEW_PAIRS = 0.2
"""An A/A rate whose interval reaches so far says little."""


def released(c: Campaign) -> Iterator[Block]:
    """Results that others released, as they were read: one row each."""
    rows = c.book.tables["released"]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    first = {key: i for i, row in reversed(list(enumerate(rows))) for key in row}
    head = tuple((c.book.key(f"released.{first[key]}.{key}"),) for key in keys)
    body = tuple(
        tuple((c.book.ref(f"released.{i}.{k}", ".3f" if isinstance(row[k], float) else ""),) if k in row else ("none",)
              for k in keys)
        for i, row in enumerate(rows)
    )  # fmt: skip
    yield Table("Results that others released", head, body)
    for i in range(len(c.book.tables["statement"])):
        yield Paragraph((c.book.ref(f"statement.{i}.says", "whole", "plain"),), "note")


def promise(c: Campaign) -> Iterator[Block]:
    """A promise of compute against what was delivered; rows of step (days), value and series."""
    rows = c.book.tables["promise"]
    shown = [{k: c.book.ref(f"promise.{i}.{k}").value for k in ("step", "value", "series")} for i in range(len(rows))]
    chart = charts.curves(
        shown, "Compute that was promised and delivered", x="days since the promise began", y="in the unit of the pool"
    )
    yield Figure("promise", chart, say("{count} rows", count=_count(c, "promise")))
    last = {str(row["series"]): i for i, row in enumerate(rows)}
    body = tuple(
        tuple((c.book.ref(f"promise.{i}.{key}"),) for key in ("series", "step", "value")) for i in last.values()
    )
    yield Table("Where each ends", heads("what", "days", "amount"), body)


def _count(c: Campaign, table: str) -> Text:
    return (
        c.book.derived(
            "count", [c.book.ref(f"{table}.{i}.{next(iter(r))}") for i, r in enumerate(c.book.tables[table])]
        ),
    )


def limitations(c: Campaign) -> Iterator[Block]:
    """What the ledger itself says against a far-reaching conclusion, and what no ledger can rule out."""
    ref = c.book.ref
    said: list[Text] = [say(
        "The verdicts are about {testbed}, its families and its smallest effect of interest; nothing here says that they "
        "hold for larger models or other tasks.", testbed=ref(f"{c.entries[0].number}.testbed"),
    )]  # fmt: skip
    for claim in c.claims:
        at = claim.registered.number
        if float(claim.registered.payload["power"]) < ENOUGH:
            said.append(say(
                "Claim {entry} was registered with a power of {power} for the smallest effect of interest: a smaller "
                "improvement than its MDE would mostly go unseen.", entry=c.book.entry(at), power=ref(f"{at}.power", ".2f"),
            ))  # fmt: skip
        if int(claim.registered.payload["seeds"]) < 2:
            said.append(say("Claim {entry} trains each problem with {seeds} seed, so seeds and problems are not told apart.",
                            entry=c.book.entry(at), seeds=ref(f"{at}.seeds")))  # fmt: skip
    said += _about_checks(c)
    said.append(say(
        "Automated research can be wrong in ways that look right, without any intent: search concentrates errors where "
        "nobody looks. Fresh problems, tuned baselines ({cite}) and a scorer with a key of its own narrow that; a person "
        "who reads the ledger is still needed.", cite=cite("Burns et al. 2023"),
    ))  # fmt: skip
    yield Bullets(tuple(said))


def _about_checks(c: Campaign) -> Iterator[Text]:
    same = c.same
    if same is None or (same.payload.get("high") or 1.0) > FEW_PAIRS:
        yield say("The A/A rate is known only roughly: {rate}.", rate=c.same_rate())
    unequal = [e for e in c.of("care") if not e.payload.get("equal", True)]
    if unequal:
        yield say("Baselines that got less care than the search: {count}.", count=c.counted(unequal))
    if c.verified.signatures == 0:
        yield ("The scorer's signatures were not checked: its key is not published and was not at hand.",)
    if c.of("sign_off") == []:
        yield ("The campaign is not closed: nobody can yet repeat its draws from a published key.",)


def discussion(c: Campaign) -> Iterator[Block]:
    """Words of proposers, methods and models, with their numbers struck."""
    yield Paragraph((
        "Here, and nowhere else, speak others than the ledger: the program or model that proposed, methods while they ran, "
        "whoever registered a claim. None of it is a result. █ stands where they put a number; the appendix has their "
        "words as they were.",
    ), "note")  # fmt: skip
    spoke = False
    for label, groups in (("Why it was proposed", _rationales(c)), ("Findings", _findings(c)), ("Claims", _claimed(c)),
                          ("What failures said", _said(c))):  # fmt: skip
        rows = tuple((joined([(c.book.entry(n),) for n in numbers[:3]]) + _more(c, numbers), who, (struck(words),))
                     for who, words, numbers in groups[:GROUPS])  # fmt: skip
        if rows:
            spoke = True
            yield Table(label, heads("entry", "who", "words"), rows)
        if len(groups) > GROUPS:
            yield Paragraph(("More was said of this kind; the appendix has all of it.",), "note")
    if not spoke:
        yield Paragraph(("Nobody said anything.",))


Group = tuple[Text, str, list[int]]
"""Who, what they said, and the entries in which they said it."""


def _more(c: Campaign, numbers: list[int]) -> Text:
    if len(numbers) <= 3:
        return ()
    return say(" and others, {count} in all", count=c.counted([c.book.entries[str(n)] for n in numbers]))


def _grouped(c: Campaign, said: list[tuple[str, str, Entry]]) -> list[Group]:
    """The same words of the same speaker, once; `said` are the path of the speaker's name, the words, and the entry."""
    groups: dict[tuple[str, str], tuple[str, str, list[int]]] = {}
    for who, words, entry in said:
        if words.strip():
            key = (str(c.book.ref(who).value), struck(words).text)
            groups.setdefault(key, (who, words, []))[2].append(entry.number)
    return [((c.book.ref(who),), words, numbers) for who, words, numbers in groups.values()]


def _rationales(c: Campaign) -> list[Group]:
    return _grouped(c, [(f"{e.number}.proposer", str(e.payload.get("rationale") or ""), e) for e in c.of("propose")])


def _findings(c: Campaign) -> list[Group]:
    said = []
    for e in c.of("finding"):
        by = f"{e.number}.by" if "by" in e.payload else f"{e.number}.@actor"
        said.append((by, f"{e.payload['type']}: {e.payload['title']}. {e.payload['text']}", e))
    return _grouped(c, said)


def _claimed(c: Campaign) -> list[Group]:
    return _grouped(c, [(f"{e.number}.@actor", str(e.payload["claim"]), e) for e in c.of("prereg")])


def _said(c: Campaign) -> list[Group]:
    ends = [e for e in c.of("run_end", "confirm") if e.payload["status"] != "ok"]
    refused = [(f"{e.number}.@actor", str(e.payload.get("why", "")), e) for e in c.of("refuse")]
    return _grouped(c, [(f"{e.number}.status", str(e.payload.get("said", "")), e) for e in ends] + refused)


def ledger(c: Campaign) -> Iterator[Block]:
    """The head, and what walking the ledger found."""
    ref = c.book.ref
    first, last = c.entries[0], c.entries[-1]
    yield Paragraph(say(
        "{entries} entries, from {begun} to {ended}. Head: {head}.", entries=ref("verified.entries"),
        begun=ref(f"{first.number}.@time"), ended=ref(f"{last.number}.@time"),
        head=ref(f"{last.number}.@hash", "whole", "code"),
    ))  # fmt: skip
    if c.verified.signatures:
        yield Paragraph(say("Signatures checked with the key that the first entry commits to: {count}.",
                            count=ref("verified.signatures")))  # fmt: skip
    else:
        yield Paragraph(
            ("No signature was checked: the scorer's key is not published and was not at hand.",), "warning"
        )
    if c.verified.intact:
        yield Paragraph(("Chain, order and what could be checked are intact.",))
    else:
        faults = tuple((ref(f"verified.faults.{k}", "whole"),) for k in range(len(c.verified.faults)))
        yield Paragraph(("The ledger is not intact; nothing in this report can be relied on.",), "warning")
        yield Bullets(faults)
    command = say("superalign research verify {campaign}", campaign=ref(f"{first.number}.campaign"))
    yield Paragraph(say("Check it yourself: {command}", command=command), "note")


def sign_off(c: Campaign) -> Iterator[Block]:
    """Who signed, when, and what was decided."""
    signed = c.of("sign_off")
    if not signed:
        yield Paragraph(("Nobody has signed this campaign.",), "warning")
        return
    ref = c.book.ref
    rows = tuple(
        ((ref(f"{e.number}.name", "whole"),), (ref(f"{e.number}.decision", "whole"),), (ref(f"{e.number}.@time"),),
         (c.book.entry(e),))
        for e in signed
    )  # fmt: skip
    yield Table("Signed", heads("name", "decision", "time", "entry"), rows)


def reading(c: Campaign) -> Iterator[Block]:
    """What the words and the columns mean; the only part with numbers of our own."""
    yield Bullets((
        ("PGR, the performance gap recovered: 0 is the weak supervisor, 1 the student that was taught the truth.",),
        ("improves: adjusted p below alpha and the whole interval above 0, for every baseline of the claim.",),
        ("worse: adjusted p below alpha and the whole interval below 0.",),
        ("no evidence: not significant, and the interval ends below the smallest effect of interest.",),
        ("underpowered: anything else; the data cannot tell.",),
        ("A claim takes the weakest word of its comparisons. Brackets hold 95 % intervals.",),
        say("p is of a sign-flip test over problems; p adjusted is corrected over every confirmation of the campaign, "
            "failed ones among them ({cite}).", cite=cite("Holm 1979")),
        ("MDE: the smallest effect that so many problems show in 80 of 100 studies.",),
        ("A/A: comparisons of a method with itself that gave p < 0.05, with a 95 % interval of their rate.",),
        ("Every number is a link: to the entry of the ledger that holds it, or to how it follows from entries.",),
    ))  # fmt: skip


def sources(c: Campaign) -> Iterator[Block]:
    """The works that are cited."""
    yield Bullets(tuple((f"{s.name}. {s.work}",) for s in SOURCES.values()))

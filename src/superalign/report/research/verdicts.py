"""The first section, what was claimed and what became of it; and the one that keeps what did not come out."""

from __future__ import annotations

from collections.abc import Iterator

from superalign.report import charts
from superalign.report.research.blocks import Block, Bullets, Figure, Paragraph, Piece, Table, Text, heads, joined, say
from superalign.report.research.view import Campaign, Claim
from superalign.research.ledger import Entry

QUALIFIERS = {
    "below-sesoi": "the improvement is smaller than the smallest effect of interest",
    "exploratory": "the baselines have their published settings, so the difference may be one of care alone",
    "unhardened": "methods ran without a sandbox that confines them, and may have seen what they must not",
    "audit-failed": "an audit failed, which blocks a good word",
    "testbed-shortcut": "the testbed can be answered without the method, by a shortcut",
    "teacher-independent": "the method gains as much without its teacher's labels, so it shows no transfer",
    "single-family": "too few families of problems for a claim beyond them",
}
"""What stands beside a word, spelled out."""

WORDS = {
    "improves": "The method improves on {against}; closest is {deciding}, {estimate}.",
    "worse": "Compared with {against}, the method is worse than {deciding}: {estimate}.",
    "no evidence": "There is no evidence that the method improves on {against}; {deciding} decides, {estimate}.",
    "underpowered": "The data cannot tell whether the method improves on {against}: underpowered; {deciding} decides, "
    "{estimate}.",
}
NEGATIVE = {
    "no evidence": "an effect of the size of interest is ruled out",
    "worse": "the baseline is better",
    "underpowered": "an effect of the size of interest is neither shown nor ruled out",
}


def answer(c: Campaign) -> Text:
    """The verdict that counts in a sentence, and the exploratory one behind it."""
    judged = [claim for claim in c.claims if claim.judged is not None]
    return joined([_sentence(c, claim) for claim in judged], " ") or ("No verdict was given yet.",)


def _sentence(c: Campaign, claim: Claim) -> Text:
    assert claim.judged is not None
    at, held = claim.judged.number, claim.judged.payload
    kind = "the published settings of" if claim.exploratory else "equally tuned"
    start = say("Exploratory, entry {entry}: ", entry=c.book.entry(at)) if claim.exploratory else ()
    if held["estimate"] is None:
        return (*start, *say("The confirmation failed, which counts as {word}.", word=c.book.ref(f"{at}.word")))
    template = WORDS.get(str(held["word"]), "{against}: {deciding}, {estimate}.")
    said: dict[str, Piece | Text] = {
        "deciding": c.book.ref(f"{at}.deciding", "", "word"),
        "estimate": c.estimate(str(at)),
    }
    return (*start, *say(template, against=say("{kind} {names}", kind=kind, names=c.baselines(claim)), **said))


def verdicts(c: Campaign) -> Iterator[Block]:
    """Claims, their comparisons with each baseline, and scores by family."""
    if not c.claims:
        yield Paragraph(("Nothing was registered, so nothing was confirmed.",))
        return
    head = heads("claim", "verdict", "estimate", "p", "p adjusted", "MDE", "problems", "A/A")
    yield Table("Claims and verdicts", head, tuple(_claim(c, claim) for claim in c.claims))
    if said := tuple(_qualifiers(c)):
        yield Bullets(said)
    judged = [claim for claim in c.claims if claim.judged is not None and claim.judged.payload["per_baseline"]]
    if not judged:
        return
    yield Figure("estimates", _forest(c, judged), say(
        "entries {all}", all=joined([(c.book.entry(j.judged),) for j in judged if j.judged], last=" and ")
    ))  # fmt: skip
    head = heads("baseline", "settings", "word", "estimate", "p", "p adjusted", "Wilcoxon p", "MDE", "problems", "A/A")
    rows = tuple(row for claim in judged for row in _comparisons(c, claim))
    yield Table("Comparisons with each baseline on fresh problems", head, rows)
    yield from _families(c, judged)
    at = judged[0].registered.number
    yield Paragraph(say("The method: {method}.", method=c.book.ref(f"{at}.method", "method")), "note")


def _claim(c: Campaign, claim: Claim) -> tuple[Text, ...]:
    made = c.book.entry(claim.registered)
    name = say("{settings} {names} ({entry})", settings=claim.settings, names=c.baselines(claim), entry=made)
    if claim.judged is None:
        state = "confirmed, not judged yet" if claim.confirmed is not None else "registered, not confirmed"
        return (name, (state,), *[("none",)] * 5, c.same_rate())
    at, ref = claim.judged.number, c.book.ref
    beside = [(ref(f"{at}.qualifiers.{k}"),) for k in range(len(claim.judged.payload["qualifiers"]))]
    word = (ref(f"{at}.word", "", "word"), *(say("; {all}", all=joined(beside)) if beside else ()))
    return (
        name, word, c.estimate(str(at)), c.optional(f"{at}.p", ".3g"), (ref(f"{at}.p_adjusted", ".3g"),),
        c.optional(f"{at}.mde", ".3f"), c.optional(f"{at}.n", ""), c.same_rate(),
    )  # fmt: skip


def _qualifiers(c: Campaign) -> Iterator[Text]:
    """What stands beside the words, spelled out once, with the verdicts that it belongs to."""
    found: dict[str, list[str]] = {}
    for verdict in (claim.judged for claim in c.claims if claim.judged is not None):
        for k, name in enumerate(verdict.payload["qualifiers"]):
            found.setdefault(str(name), []).append(f"{verdict.number}.qualifiers.{k}")
    for name, paths in found.items():
        of = joined([(c.book.entry(int(p.partition(".")[0])),) for p in paths], last=" and ")
        means = QUALIFIERS.get(name, "its meaning is not known here")
        yield say("{name}, of {of}: {means}.", name=c.book.ref(paths[0], "", "word"), of=of, means=means)


def _comparisons(c: Campaign, claim: Claim) -> Iterator[tuple[Text, ...]]:
    assert claim.judged is not None
    ref = c.book.ref
    for name in claim.judged.payload["per_baseline"]:
        at = f"{claim.judged.number}.per_baseline.{name}"
        yield (
            (c.book.key(at),), (claim.settings,), (ref(f"{at}.word", "", "word"),), c.estimate(at),
            (ref(f"{at}.p", ".3g"),), (ref(f"{at}.p_adjusted", ".3g"),), (ref(f"{at}.wilcoxon", ".3g"),),
            (ref(f"{at}.mde", ".3f"),), (ref(f"{at}.n"),), c.same_rate(),
        )  # fmt: skip


def _forest(c: Campaign, judged: list[Claim]) -> dict[str, object]:
    rows = []
    for claim in judged:
        assert claim.judged is not None
        for name in claim.judged.payload["per_baseline"]:
            at = f"{claim.judged.number}.per_baseline.{name}"
            ends = {
                k: c.book.ref(f"{at}.{e}").value for k, e in (("value", "estimate"), ("low", "low"), ("high", "high"))
            }
            rows.append({"name": f"{c.book.key(at).text} ({claim.settings})", **ends})
    title = "The method less each baseline, on fresh problems"
    return charts.bars_with_intervals(rows, title, x="difference in PGR", references=[("no difference", 0.0)])


def _families(c: Campaign, judged: list[Claim]) -> Iterator[Block]:
    """Mean PGR of each arm by family, of the claim that counts most."""
    entry = judged[0].judged
    assert entry is not None
    families, at = entry.payload.get("families") or {}, f"{entry.number}.families"
    if not families:
        return
    arms = list(next(iter(families.values())))
    first = next(iter(families))
    head: tuple[Text, ...] = (("family",), *((c.book.key(f"{at}.{first}.{arm}"),) for arm in arms))
    rows = tuple(
        ((c.book.key(f"{at}.{family}"),), *((c.book.ref(f"{at}.{family}.{arm}", ".3f"),) for arm in arms))
        for family in families
    )
    yield Table(f"PGR by family, against {judged[0].settings} settings", head, rows)


def negative(c: Campaign) -> Iterator[Block]:
    """What was not shown, what was worse, what the data could not tell, what failed, and errors that were found."""
    said = [line for claim in c.claims for line in _not_shown(c, claim)]
    said += [_failed(c, e) for e in c.of("confirm") if e.payload["status"] != "ok"]
    failed = [e for e in c.of("run_end") if e.payload["status"] != "ok"]
    if failed:
        said.append(say("Runs of the search that failed: {count}.", count=c.counted(failed)))
    for e in c.of("finding"):
        if e.payload["type"] == "error":
            said.append(_error(c, e))
    yield Bullets(tuple(said)) if said else Paragraph(("Nothing: every comparison improved, and nothing failed.",))


def _not_shown(c: Campaign, claim: Claim) -> Iterator[Text]:
    if claim.judged is None:
        return
    for name, row in claim.judged.payload["per_baseline"].items():
        if row["word"] == "improves":
            continue
        at = f"{claim.judged.number}.per_baseline.{name}"
        sees = say(", {n} problems see {mde}", n=c.book.ref(f"{at}.n"), mde=c.book.ref(f"{at}.mde", ".3f"))
        yield say(
            "{word}: {settings} {name}, {estimate}{sees}, p adjusted {p}: {means}.",
            word=c.book.ref(f"{at}.word", "", "word"), settings=claim.settings, name=c.book.key(at),
            estimate=c.estimate(at), sees=sees, p=c.book.ref(f"{at}.p_adjusted", ".3g"),
            means=NEGATIVE.get(str(row["word"]), "no improvement"),
        )  # fmt: skip


def _failed(c: Campaign, entry: Entry) -> Text:
    return say("Confirmation {entry} {status}; it counts in the correction.", entry=c.book.entry(entry),
               status=c.book.ref(f"{entry.number}.status", "", "word"))  # fmt: skip


def _error(c: Campaign, entry: Entry) -> Text:
    at = entry.number
    by = c.book.ref(f"{at}.by") if "by" in entry.payload else c.book.ref(f"{at}.@actor")
    return say("An {type} was found by {by}, in entry {entry}; its words are under Discussion.",
               type=c.book.ref(f"{at}.type", "", "word"), by=by, entry=c.book.entry(entry))  # fmt: skip

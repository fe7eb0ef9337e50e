"""What speaks for and against the verdicts: care for the baselines, audits, and what the design could see."""

from __future__ import annotations

from collections.abc import Iterator

from superalign.report.research.blocks import Block, Interval, Paragraph, Table, Text, heads, joined, say
from superalign.report.research.view import Campaign, cite
from superalign.research.ledger import Entry


def care(c: Campaign) -> Iterator[Block]:
    """Published and tuned settings side by side on fresh problems, and the evaluations that tuning got."""
    entries = c.of("care")
    if not entries:
        yield Paragraph(("No baseline was tuned, so no difference from one can be called an improvement.",), "warning")
        return
    head = heads("baseline", "published, fresh", "tuned, fresh", "care gap", "evaluations", "of the search", "enough")
    yield Table("Equal care", head, tuple(_care(c, e) for e in entries))
    settings = tuple(
        ((c.book.ref(f"{e.number}.baseline"),), (c.book.ref(f"{e.number}.default", "method"),),
         (c.book.ref(f"{e.number}.tuned", "method"),))
        for e in entries
    )  # fmt: skip
    yield Table("Settings of the baselines", heads("baseline", "published", "tuned"), settings)
    yield Paragraph(say(
        "The care gap is what tuning alone gives a baseline: mean PGR on the fresh problems of the claim against tuned "
        "settings less that on those of the claim against published ones. The problems differ, so its interval follows "
        "from both ({cite}).", cite=cite("Newcombe 1998"),
    ), "note")  # fmt: skip


def _care(c: Campaign, entry: Entry) -> tuple[Text, ...]:
    at, name = entry.number, str(entry.payload["baseline"])
    arms = {settings: _arm(c, settings, name) for settings in ("published", "tuned")}
    gap: Text = ("not measured",)
    if arms["published"] and arms["tuned"]:
        pair = [c.book.ref(arms["tuned"]), c.book.ref(arms["published"])]
        doubt = Interval(c.book.derived("gap_low", pair, "+.3f"), c.book.derived("gap_high", pair, "+.3f"))
        gap = (c.book.derived("gap", pair, "+.3f"), " ", doubt)
    spent = say("{spent}, grid {grid}", spent=c.book.ref(f"{at}.evaluations"), grid=c.book.ref(f"{at}.grid"))
    enough = c.book.ref(f"{at}.equal") if "equal" in entry.payload else "not said"
    return (
        (c.book.ref(f"{at}.baseline"),), _mean(c, arms["published"]), _mean(c, arms["tuned"]), gap, spent,
        (c.book.ref(f"{at}.search_evaluations"),), (enough,),
    )  # fmt: skip


def _arm(c: Campaign, settings: str, name: str) -> str:
    """The path of a baseline's scores in the confirmation against such settings; empty where there are none."""
    for claim in c.claims:
        if claim.settings == settings and claim.confirmed and name in claim.confirmed.payload["arms"]:
            return f"{claim.confirmed.number}.arms.{name}"
    return ""


def _mean(c: Campaign, path: str) -> Text:
    if not path:
        return ("not measured",)
    arm = [c.book.ref(path)]
    mean, low, high = (c.book.derived(f"arm_{k}", arm, ".3f") for k in ("mean", "low", "high"))
    return mean, " ", Interval(low, high)


def audits(c: Campaign) -> Iterator[Block]:
    """Every audit and every alarm, in the scorer's words."""
    entries = c.of("audit")
    if entries:
        head = heads("audit", "status", "statistic", "what it says", "entries")
        yield Table("What was audited", head, tuple(_audit(c, e) for e in entries))
    else:
        yield Paragraph(("No audit was run.",), "warning")
    alarms = c.of("alarm")
    if alarms:
        rows = tuple(
            ((c.book.ref(f"{e.number}.which"),), (c.book.ref(f"{e.number}.says", "whole"),), (c.book.entry(e),))
            for e in alarms
        )
        yield Table("Alarms", heads("alarm", "what it says", "entry"), rows)
    else:
        yield Paragraph(("No alarm was raised.",))


def _audit(c: Campaign, entry: Entry) -> tuple[Text, ...]:
    at, ref = entry.number, c.book.ref
    statistic = c.optional(f"{at}.statistic", ".3f")
    if entry.payload.get("low") is not None and entry.payload.get("high") is not None:
        statistic = (*statistic, " ", Interval(ref(f"{at}.low", ".3f"), ref(f"{at}.high", ".3f")))
    evidence = [(c.book.entry(n),) for n in entry.payload.get("evidence") or () if isinstance(n, int)]
    of = joined([(c.book.entry(entry),), *evidence])
    return (ref(f"{at}.audit"),), (ref(f"{at}.status", "", "word"),), statistic, (ref(f"{at}.says", "whole"),), of


def power(c: Campaign) -> Iterator[Block]:
    """How often a difference is seen where there is none, and how large a difference had to be."""
    if c.same is None:
        yield Paragraph(("No method was compared with itself: how often the test errs here is not known.",), "warning")
    else:
        yield Paragraph(say(
            "A/A: a method compared with itself differed in {rate} comparisons ({cite}), each on {problems} problems, "
            "in entry {entry}.",
            rate=c.same_rate(), cite=cite("Clopper and Pearson 1934"), entry=c.book.entry(c.same),
            problems=c.optional(f"{c.same.number}.problems", ""),
        ))  # fmt: skip
    if not c.claims:
        return
    head = heads(
        "claim", "settings", "families", "problems of each", "seeds", "smallest effect of interest", "power", "MDE"
    )
    rows = []
    for claim in c.claims:
        at, ref = claim.registered.number, c.book.ref
        families = c.book.derived("count", [ref(f"{at}.families.{k}") for k in range(len(ref(f"{at}.families").value))])
        mde = c.optional(f"{claim.judged.number}.mde", ".3f") if claim.judged else ("none",)
        rows.append((
            (c.book.entry(at),), (claim.settings,), (families,), (ref(f"{at}.tasks"),), (ref(f"{at}.seeds"),),
            (ref(f"{at}.sesoi", ".3f"),), (ref(f"{at}.power", ".2f"),), mde,
        ))  # fmt: skip
    yield Table("What each claim could see", head, tuple(rows))
    yield Paragraph((
        "Power was computed before the confirmation, from development problems; the MDE, the smallest effect that such "
        "problems show in most studies, after it, from their own spread.",
    ), "note")  # fmt: skip

"""Campaigns as views: verdicts, what waits, the report as a part of a page, and strangers' text."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from superalign.report.research.part import ROWS, fragment, signature
from superalign.report.view import absolute
from superalign.report.views import campaigns as views
from superalign.report.views.campaigns import Account, Accounts, FoundEntries, Now, Told, Waiting
from superalign.research.ledger import Entry, Verified
from tests.report import research_examples as examples
from tests.report.test_page import Page


def address(number: int) -> str:
    return f"/ledger?page={views.page_of(number)}#entry-{number}"


def test_a_verdict_in_a_line() -> None:
    entries, _ = examples.campaign()
    claims = {e.payload["registration"]: e for e in entries if e.type == "prereg"}
    tuned = next(e for e in entries if e.type == "verdict")
    found = views.word(tuned, claims[tuned.payload["registration"]])
    assert found.word == tuned.payload["word"]
    assert re.fullmatch(r"-?0\.\d+ \[-?0\.\d+, -?0\.\d+\]", found.effect)
    broken = replace(tuned, payload={"word": 7, "estimate": None})
    assert "undefined" in views.word(broken, None).effect


def test_the_report_is_a_part_whose_entries_stand_elsewhere() -> None:
    entries, verified = examples.campaign()
    body = fragment(entries, verified, address)
    seen = Page(f"<html><body>{body}</body></html>")
    links = {given["href"] for tag, given in seen.tags if tag == "a" and "href" in given}
    assert "/ledger?page=1#entry-1" in links
    assert f"/ledger?page=2#entry-{len(entries)}" in links
    here = {link[1:] for link in links if link.startswith("#")}
    assert here <= set(seen.ids)
    assert "ledger" not in seen.ids
    assert len(re.findall("<h1", body)) == 1


def test_a_long_report_is_cut_and_says_so() -> None:
    entries, _ = examples.campaign(signed=False)
    first, *rest = [e for e in entries if e.type in ("genesis", "propose", "run_end")]
    pairs, many, n = rest[:2], [first], 1
    for _ in range(ROWS + 50):
        proposed = replace(pairs[0], number=n + 1)
        ended = replace(pairs[1], number=n + 2, payload={**pairs[1].payload, "proposal": n + 1})
        many, n = [*many, proposed, ended], n + 2
    body = fragment(many, Verified(len(many), many[-1].hash, 0, ()), address)
    assert "The table is cut here; the ledger has every entry." in body
    assert "… and others" in body
    assert len(body) < 800_000


def test_strangers_text_stays_text() -> None:
    entries, verified = examples.campaign(hostile=True)
    now = Now("c", examples.HOSTILE, examples.HOSTILE, examples.HOSTILE, state="waiting for approval", entries=3,
              counts={examples.HOSTILE: 2}, waiting=[Waiting("r", 2, examples.HOSTILE, "approve")], latest=entries[-3:],
              words=[views.word(e, None) for e in entries if e.type == "verdict"])  # fmt: skip
    lines = [views.line(e, signature(e, verified)) for e in entries]
    told = Told(fragment(entries, verified, address), len(entries))
    made = [
        views.campaigns([now], [{"pool": "<b>", "fault": "<i>"}], absolute),
        views.campaign(now, told, Accounts([Account("search", 1.0, tokens_in=2)]), absolute),
        views.standing(now, absolute),
        views.ledger(now, FoundEntries(lines, len(lines), 2, 4, "propose", {"propose": 3}, ("<fault>",)), absolute),
    ]
    for view in made:
        json.dumps(view.data, allow_nan=False)
        seen = Page(f"<html><body>{view.body}</body></html>")
        assert not {"script", "img"} & {tag for tag, _ in seen.tags}
        assert not any(name.startswith(("on", "style")) for _, given in seen.tags for name in given)
        assert not set("\u202e\u202c") & set(view.body)
        assert len(re.findall("<h1", view.body)) == 1


def test_a_megabyte_in_an_entry_is_cut() -> None:
    entry = Entry(1, "now", "agent", "finding", {"text": "x" * 1_000_000}, "0" * 64)
    line = views.line(entry, "not signed")
    assert line.cut
    assert len(line.text) == views.LONGEST
    assert len(line.brief) < 200

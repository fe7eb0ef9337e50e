"""Records for the tests: one that a study could have left, one that means harm."""

from __future__ import annotations

from functools import cache
from typing import Any

from superalign.core.spec import Audit, Condition, Number, Record, Table
from superalign.report import charts

METHODS = {
    "xent": (0.702, 0.018, 0.41),
    "logconf": (0.731, 0.016, 0.56),
    "logconf with a rather long name (alpha 0.75, warm-up 0.2, prior of the batch)": (0.738, 0.021, 0.60),
    "window r=.15": (0.689, 0.024, 0.34),
    "AugConf": (0.652, 0.04, 0.14),
}
GAP = "the gap between weak and ceiling is within noise: its 95 % interval [-0.004, 0.031] holds zero"


def number(value: float, half: float, n: int = 1000, seeds: int = 5) -> Number:
    return Number(value=value, low=value - half, high=value + half, n=n, seeds=seeds)


def conditions() -> tuple[Condition, ...]:
    weak = Condition(
        name="weak",
        numbers={"accuracy": number(0.624, 0.012), "ece": number(0.041, 0.006)},
        labels={"answer": "Weak labels elicit about half of the strong model's ability: PGR 0.56 [0.39, 0.73]."},
    )
    students = [
        Condition(
            name=name,
            numbers={
                "accuracy": number(accuracy, half),
                "PGR": number(pgr, half * 8),
                "effect": number(accuracy - 0.624, half),
                "error_imitation": number(0.7 - pgr / 3, 0.03, n=376),
                "ece": number(0.05 + pgr / 10, 0.012),
            },
            labels={"loss": name.split()[0]},
        )
        for name, (accuracy, half, pgr) in METHODS.items()
    ]
    lost = Condition(
        name="product",
        numbers={"accuracy": number(0.61, 0.05), "PGR": Number(value=None, reason=GAP, n=1000, seeds=2)},
        labels={"loss": "product"},
    )
    ceiling = Condition(name="ceiling", numbers={"accuracy": number(0.815, 0.011), "ece": number(0.03, 0.004)})
    return (weak, *students, lost, ceiling)


def drawn(rows: tuple[Condition, ...]) -> dict[str, dict[str, Any]]:
    accuracy = [{"name": c.name, **c.numbers["accuracy"].model_dump()} for c in rows]
    pgr = [{"name": c.name, **c.numbers["PGR"].model_dump()} for c in rows if "PGR" in c.numbers]
    steps = range(0, 101, 10)
    agreement = [
        {"step": s, "series": name, "value": v, "low": v - 0.02, "high": v + 0.02}
        for name, start, slope in (("where the weak model is right", 0.68, 0.002), ("where it is wrong", 0.35, 0.003))
        for s in steps
        for v in [start + slope * s]
    ]
    deciles = [
        {"decile": d, "series": name, "value": v, "low": v - 0.04, "high": v + 0.04}
        for name, slope in (("xent", 0.06), ("logconf", 0.045))
        for d in range(1, 11)
        for v in [0.12 + slope * d]
    ]
    points = [
        {
            "x": 0.02 * i,
            "y": 0.01 + 0.018 * i,
            "y_low": 0.018 * i - 0.01,
            "y_high": 0.018 * i + 0.03,
            "name": f"task {i}",
        }
        for i in range(1, 9)
    ]
    return {
        "accuracy": charts.bars_with_intervals(
            accuracy, "Accuracy on the test split", references=(("weak", 0.624), ("ceiling", 0.815))
        ),
        "pgr": charts.forest(pgr, "Performance gap recovered"),
        "anatomy": charts.curves(agreement, "Agreement with the weak model over training", y="agreement"),
        "imitation": charts.deciles(deciles, "Error imitation by weak confidence", y="imitation"),
        "predictors": charts.scatter(
            points, "Does misfit predict the gain?", x="misfit", y="gain", note="One point per task"
        ),
    }


@cache
def study() -> Record:
    """What a weak-to-strong study could leave."""
    rows = conditions()
    return Record(
        id="w2s-7f3a90c1",
        study="w2s",
        title="How much of a strong model's ability do weak labels elicit? digits, 5 seeds",
        spec={
            "study": "w2s",
            "task": "digits:task=parity",
            "weak": ["logistic:words=8"],
            "seeds": 5,
            "limit": None,
            "losses": {"names": ["xent", "logconf"], "alpha": 0.75},
        },
        spec_hash="7f3a90c1d2e4f5061728394a5b6c7d8e9f00112233445566778899aabbccddee",
        created="2025-01-15T12:00:00Z",
        versions={"superalign": "0.1.0", "python": "3.11.2", "numpy": "2.3.1", "scikit-learn": "1.7.0"},
        machine={"platform": "Linux x86_64", "cores": 2, "threads": {"torch": 1, "blas": 1}},
        conditions=rows,
        artifacts={
            "weak": "w2s-weak/0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "xent/seed 0": "w2s-student/1a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "features": "features/2a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
        },
        charts=drawn(rows),
        tables={
            "confidence": Table(
                title="Agreement by confidence",
                columns=("decile", "n", "agreement", "comment"),
                rows=((1, 1000, 0.51234, "least sure"), (2, 1000, 0.6, ""), (10, 12345, 0.993, "surest")),
                note="Deciles of the weak model's own confidence.",
            )
        },
        audit=(
            Audit(door="truth", split="weak-train", purpose="weak model", n=500),
            Audit(door="truth", split="transfer", purpose="ceiling", n=2000),
            Audit(door="score", split="test", purpose="accuracy", n=1000),
        ),
        costs={"seconds": 41.237, "tokens_in": 0.0, "usd": 0.0},
        failures={"collapsed": 1},
        notes=("Student and ceiling share initialisation and batch order.", "AugConf fell to one class in one seed."),
    )


HARM = "<script>alert('harm')</script>"
ATTACKS = (
    HARM,
    '"><img src=x onerror=alert(1)>',
    "</script><svg onload=alert(1)>",
    "</pre></details></style><style>*{display:none}</style>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "safe \u202egnp.exe\u202c end \u2066x\u2069",
    "zero\u200bwidth \x1b[31mred\x07 \ufeffmark \U000e0041tag",
    "| table | break | `code` **bold** [link](http://example.invalid/) ![i](http://example.invalid/i.png)",
    "``` fence\n# heading\n---",
    "<!--#include--> <![CDATA[ ]]> &amp; &#60;b&#62;",
    "שלום עולם, مرحبا, 你好, 👩‍🔬, Ünïcödé",
    "word" * 60,
)


@cache
def hostile() -> Record:
    """Every text of the record means harm, and the charts do too."""
    everything = " ".join(ATTACKS)
    rows = tuple(
        Condition(
            name=f"{i} {attack}",
            numbers={
                "accuracy": number(0.5 + i / 100, 0.02),
                f"n{attack}": Number(value=None, reason=attack),
                "broken": Number(value=float("nan")),
                "bare": Number(value=-0.0),
            },
            labels={attack: attack, **({"answer": everything} if i == 0 else {})},
        )
        for i, attack in enumerate(ATTACKS)
    )
    named = [{"name": c.name, **c.numbers["accuracy"].model_dump()} for c in rows]
    return Record(
        id=f"../../etc/{HARM}",
        study=HARM,
        title=everything,
        spec={"study": HARM, **{attack: {attack: [attack, 1, 0.1, True]} for attack in ATTACKS}},
        spec_hash=HARM,
        created=HARM,
        versions=dict.fromkeys(ATTACKS, HARM),
        machine={attack: {attack: [attack]} for attack in ATTACKS},
        conditions=rows,
        artifacts={f"{rows[0].name}/x": HARM, **dict.fromkeys(ATTACKS, HARM)},
        charts={
            "rows": charts.bars_with_intervals(named, everything, references=((HARM, 0.51), ("</text>", 0.6))),
            f"{HARM}": charts.curves([{"step": 1, "value": 1.0, "series": a} for a in ATTACKS], HARM, x=HARM, y=HARM),
            "file": {"data": {"url": "file:///etc/hostname", "format": {"type": "csv"}}, "mark": "text"},
            "network": {"data": {"url": "http://127.0.0.1:9/x.json"}, "mark": "point"},
            "image": {
                "data": {"values": [{"u": "http://127.0.0.1:9/a.png"}]},
                "mark": "image",
                "encoding": {"url": {"field": "u"}},
            },
            "link": {
                "data": {"values": [{"u": "https://example.invalid/", "v": HARM}]},
                "mark": "text",
                "encoding": {"href": {"field": "u"}, "text": {"field": "v"}, "tooltip": {"field": "v"}},
            },
            "nonsense": {"mark": {"type": HARM}},
        },
        tables={a: Table(title=a, columns=(a, "v"), rows=((a, 1.5), (HARM, None)), note=a) for a in ATTACKS},
        audit=tuple(Audit(door="truth", split=a, purpose=f"oracle {a}", n=1) for a in ATTACKS),
        costs=dict.fromkeys(ATTACKS, 1.0),
        failures=dict.fromkeys(ATTACKS, 1),
        notes=ATTACKS,
    )

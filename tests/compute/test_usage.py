"""What work used: measured, added, converted, priced."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.compute.usage import Meter, Prices, Usage, measure, read_prices
from superalign.core.errors import SpecError

BURN = "import time; end = time.process_time() + 0.15\nwhile time.process_time() < end: pass"

usages = st.builds(
    Usage, *[st.floats(0, 1e6)] * 3, st.integers(0, 10**9), st.integers(0, 10**9), *[st.floats(0, 1e6)] * 2
)


def test_a_block_is_measured_with_the_children_that_ended_in_it() -> None:
    with Meter() as meter:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        before = meter.usage.cpu_s
        code, child = measure([sys.executable, "-c", BURN])
    assert code == 0
    assert before >= 0.05
    assert child.cpu_s >= 0.15
    assert meter.usage.cpu_s >= before + child.cpu_s
    assert meter.usage.wall_s >= child.wall_s
    assert meter.usage == meter.usage, "it stands still after the block"


def test_a_command_is_measured_alone_with_its_own_children() -> None:
    _, nested = measure(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"]
    )
    assert nested.cpu_s >= 0.15, "the grandchild's time"
    code, slept = measure([sys.executable, "-c", "import time, sys; time.sleep(0.2); sys.exit(3)"], gpus=2)
    assert code == 3
    assert slept.cpu_s < nested.cpu_s
    assert slept.wall_s >= 0.2
    assert slept.gpu_s == pytest.approx(2 * slept.wall_s)
    assert measure([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])[0] == -9


def test_what_cannot_be_run_is_told() -> None:
    with pytest.raises(SpecError, match="'no-such-command' cannot be run"):
        measure(["no-such-command"])


@given(usages, usages)
def test_usages_add_up_in_every_unit(one: Usage, two: Usage) -> None:
    assert one + Usage() == one
    assert one + two == two + one
    for unit in ("cpu-hours", "gpu-hours", "tokens", "usd"):
        assert math.isclose((one + two).amount(unit), one.amount(unit) + two.amount(unit), rel_tol=1e-12, abs_tol=1e-12)
    assert Usage(**one.row()) == one  # type: ignore[arg-type]


def test_units() -> None:
    used = Usage(cpu_s=7200, gpu_s=1800, tokens_in=10, tokens_out=5, usd=2.5)
    assert [used.amount(u) for u in ("cpu-hours", "gpu-hours", "tokens", "usd")] == [2.0, 0.5, 15.0, 2.5]
    with pytest.raises(SpecError, match="no pool is counted in 'gpu-hour'; did you mean 'gpu-hours'"):
        used.amount("gpu-hour")
    for wrong in (-1.0, math.nan, math.inf, True, "3"):
        with pytest.raises(SpecError, match="a usage has cpu_s="):
            Usage(cpu_s=wrong)  # type: ignore[arg-type]


def test_a_price_table_has_a_date_and_prices_what_was_used(tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text("date = 2026-01-15\n[usd]\ngpu_hour = 2.5\ncpu_hour = 0\nmillion_tokens_in = 3\n")
    prices = read_prices(table)
    assert prices.date == "2026-01-15"
    priced = prices.charge(Usage(cpu_s=100, gpu_s=7200, tokens_in=500_000))
    assert priced.usd == pytest.approx(2 * 2.5 + 0.5 * 3)
    assert priced.gpu_s == 7200
    with pytest.raises(SpecError, match=r"the prices of 2026-01-15 lack million_tokens_out, which was used"):
        prices.charge(Usage(tokens_out=1))
    with pytest.raises(SpecError, match=r"has cost \$6.5 already"):
        prices.charge(priced)
    assert Prices("2026-01-01").charge(Usage(wall_s=5)).usd == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[usd]\ngpu_hour = 1", "date = None; write date = 2026-01-15"),
        ('date = "2026"\n[usd]\ngpu_hour = 1', "date = '2026'"),
        ("date = 2026-01-15", r"has no prices; write \[usd\]"),
        ("date = 2026-01-15\n[usd]\ngpu_hours = 1", "price of 'gpu_hours'; did you mean 'gpu_hour'"),
        ("date = 2026-01-15\n[usd]\ngpu_hour = -1", "gpu_hour = -1; give it in US dollars"),
        ("date = 2026-01-15\n[usd]\ngpu_hour = nan", "gpu_hour = nan"),
        ("date =", "a price table is TOML"),
    ],
)
def test_a_wrong_price_table_is_told(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "prices.toml"
    table.write_text(text)
    with pytest.raises(SpecError, match=message):
        read_prices(table)
    with pytest.raises(SpecError, match="no price table"):
        read_prices(tmp_path / "none.toml")

"""The pages that several tests look at."""

from __future__ import annotations

import pytest

from superalign.report import page
from tests.report import examples


@pytest.fixture(scope="session")
def study_page() -> str:
    return page.html(examples.study())


@pytest.fixture(scope="session")
def hostile_page() -> str:
    return page.html(examples.hostile())

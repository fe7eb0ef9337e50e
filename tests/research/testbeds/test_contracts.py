"""Every built-in testbed under the contract that a campaign relies on, and what each adds to it."""

from __future__ import annotations

from superalign.research.testbed import Problem
from superalign.research.testbeds.digits_control import digits_control
from superalign.research.testbeds.oversight_games import oversight_games
from superalign.research.testbeds.w2s_embed import w2s_embed
from superalign.research.testbeds.w2s_micro import w2s_micro
from superalign.testing.testbed import TestbedContract

MICRO, GAMES, CONTROL, EMBED = w2s_micro(), oversight_games(), digits_control(), w2s_embed(encoder="tfidf")


class TestMicro(TestbedContract):
    def make_testbed(self):
        return MICRO


class TestEmbed(TestbedContract):
    def make_testbed(self):
        return EMBED


class TestGames(TestbedContract):
    def make_testbed(self):
        return GAMES

    def items(self, problem: Problem) -> set[bytes]:
        """A game by all beliefs that it gave rise to: noise makes no two alike."""
        beliefs = problem.public["test_debate"].reshape(len(problem.key.truth), -1)
        return {row.tobytes() for row in beliefs}


class TestControl(TestbedContract):
    def make_testbed(self):
        return CONTROL

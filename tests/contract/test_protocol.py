"""The built-in protocols and wrappers meet the contract."""

from __future__ import annotations

from superalign.core.types import Protocol
from superalign.protocols.consultancy import consultancy
from superalign.protocols.debate import debate
from superalign.protocols.direct import direct
from superalign.protocols.expert import expert
from superalign.protocols.open_role import open_role
from superalign.protocols.propaganda import propaganda
from superalign.protocols.wrappers.best_of import best_of
from superalign.protocols.wrappers.majority import majority
from superalign.protocols.wrappers.reasoning import reasoning
from superalign.protocols.wrappers.swap import swap
from superalign.testing.protocol import ProtocolContract

HEARING = ("judge", "cross-examiner", "debater", "consultant")


class TestDirect(ProtocolContract):
    def protocol(self) -> Protocol:
        return direct()


class TestExpert(ProtocolContract):
    blind = ()

    def protocol(self) -> Protocol:
        return expert()


class TestPropaganda(ProtocolContract):
    roles = ("judge", "consultant")

    def protocol(self) -> Protocol:
        return propaganda()


class TestConsultancy(ProtocolContract):
    roles = ("judge", "consultant")

    def protocol(self) -> Protocol:
        return consultancy(rounds=2)


class TestDoubleConsultancy(TestConsultancy):
    def protocol(self) -> Protocol:
        return consultancy(rounds=2, kind="double")


class TestInteractiveConsultancy(ProtocolContract):
    roles = HEARING

    def protocol(self) -> Protocol:
        return consultancy(kind="interactive")


class TestDebate(ProtocolContract):
    roles = ("judge", "debater")

    def protocol(self) -> Protocol:
        return debate()


class TestSequentialDebate(TestDebate):
    def protocol(self) -> Protocol:
        return debate(kind="sequential")


class TestInteractiveDebate(ProtocolContract):
    roles = HEARING

    def protocol(self) -> Protocol:
        return debate(kind="interactive", rounds=3, min_rounds=2)


class TestTrustingDebate(TestDebate):
    def protocol(self) -> Protocol:
        return debate(rounds=1, words=20, quotes="trusted")


class TestOpenDebate(ProtocolContract):
    roles = ("judge", "debater", "proposer")

    def protocol(self) -> Protocol:
        return open_role()


class TestOpenConsultancy(ProtocolContract):
    roles = ("proposer", *HEARING)

    def protocol(self) -> Protocol:
        return open_role(protocol="consultancy", kind="interactive")


class TestMajority(TestSequentialDebate):
    def protocol(self) -> Protocol:
        return majority(debate(kind="sequential"), k=3)


class TestSwap(TestDebate):
    def protocol(self) -> Protocol:
        return swap(debate(kind="sequential"))


class TestReasoning(ProtocolContract):
    roles = HEARING

    def protocol(self) -> Protocol:
        return reasoning(debate(kind="interactive"))


class TestBestOf(ProtocolContract):
    roles = ("preference", *HEARING)

    def protocol(self) -> Protocol:
        return best_of(debate(kind="interactive"), n=2)


class TestBestConsultant(ProtocolContract):
    roles = ("preference", "judge", "consultant")

    def protocol(self) -> Protocol:
        return best_of(consultancy(rounds=2), n=3)


class TestEverythingAtOnce(ProtocolContract):
    roles = ("preference", "judge", "debater")

    def protocol(self) -> Protocol:
        return best_of(reasoning(majority(swap(debate(kind="sequential", rounds=1)), k=2)), n=2)

"""The built-in protocols meet the contract."""

from superalign.core.types import Protocol
from superalign.protocols.direct import direct
from superalign.testing.protocol import ProtocolContract


class TestDirect(ProtocolContract):
    def protocol(self) -> Protocol:
        return direct()

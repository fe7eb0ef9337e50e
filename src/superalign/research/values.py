"""What a campaign writes down: methods, proposals, pre-registrations, findings. Each is frozen, and its digest is its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from superalign.core.digest import digest
from superalign.core.errors import SpecError, nearest
from superalign.core.spec import Value
from superalign.research.space import Method

if TYPE_CHECKING:
    from superalign.research.ledger import Ledger


class Typed(Value):
    """A method of the testbed's space: a value for every axis."""

    kind: Literal["typed"] = "typed"
    values: dict[str, str | int | float]


class Code(Value):
    """A method that is a Python file: `function(public, seed)` in the file with this SHA-256, kept as an artifact."""

    kind: Literal["code"] = "code"
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    function: str = Field(default="method", pattern=r"^[A-Za-z_]\w*$")

    @property
    def artifact(self) -> str:
        """The key of the file in the store."""
        return f"research/code/{self.sha256}"


MethodSpec = Annotated[Typed | Code, Field(discriminator="kind")]
"""A method, as it is committed to."""


def typed(method: Method) -> Typed:
    """A point of the space as a committed method."""
    return Typed(values=dict(method))


def method_of(given: Any) -> Typed | Code:
    """A committed method from its JSON. Raises ValueError for what is none."""
    kind = Code if isinstance(given, Mapping) and given.get("kind") == "code" else Typed
    return kind.model_validate(given)


class PreRegistration(Value):
    """A claim, fixed before it is tested: what is compared with what, how, and what would count.

    The method must beat every baseline of the list in `metric`, on `tasks` fresh problems of each family, each
    trained with `seeds` seeds that the scorer draws. `sesoi` is the smallest effect of interest. `head` is the head of
    the ledger when it was signed; `power` what the design can see of an effect of `sesoi`, and `override` why it was
    registered although that is less than 0.8.
    """

    claim: str = Field(min_length=1, max_length=2000)
    method: MethodSpec
    baselines: dict[str, MethodSpec] = Field(min_length=1)
    care: dict[str, int] = Field(default_factory=dict)
    families: tuple[str, ...] = Field(min_length=1)
    tasks: int = Field(ge=2)
    seeds: int = Field(default=1, ge=1)
    metric: str = "PGR"
    alpha: float = Field(default=0.05, gt=0, lt=1)
    sesoi: float = Field(gt=0)
    power: float = Field(ge=0, le=1)
    override: str | None = None
    exploratory: bool = False
    head: str = ""

    @field_validator("baselines")
    @classmethod
    def _cared_for(cls, value: dict[str, Any]) -> dict[str, Any]:
        if any(not name.strip() for name in value):
            raise ValueError("every baseline needs a name")
        return value

    @property
    def id(self) -> str:
        """The digest of everything above."""
        return digest(self.model_dump(mode="json"))[:24]

    @property
    def payload(self) -> dict[str, Any]:
        """What its `prereg` entry holds: its id and everything above."""
        return {"registration": self.id, **self.model_dump(mode="json")}


def registered(ledger: Ledger, which: str) -> PreRegistration:
    """A pre-registration of the ledger by its id. Raises SpecError where there is none, and for one that was changed."""
    held = {str(e.payload["registration"]): e.payload for e in reversed(ledger.of("prereg"))}
    if which not in held:
        raise SpecError(f"{which!r} is not pre-registered; {nearest(which, held)}")
    claim = PreRegistration.model_validate({k: v for k, v in held[which].items() if k != "registration"})
    if claim.id != which:
        raise SpecError(f"the pre-registration {which!r} is not what its id says; register it again")
    return claim


class Finding(Value):
    """Something a proposer wants to share. Results are rows of the scorer and nobody else's."""

    type: Literal["hypothesis", "insight", "error"]
    title: str = Field(min_length=1, max_length=200)
    text: str = Field(max_length=5000)
    evidence: tuple[int, ...] = ()

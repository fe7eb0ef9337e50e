"""Who explains, who simulates and who judges, as a spec names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from superalign.core.digest import digest
from superalign.core.driver import Transcript
from superalign.core.errors import SpecError
from superalign.core.ports import Model, Progress, Store
from superalign.core.registry import build
from superalign.core.steps import Steps
from superalign.interp.predicates.programs import Programs
from superalign.interp.predicates.search import Predicates
from superalign.interp.scorers.correlation import SimulationScores
from superalign.interp.units import Explainer, Scorer, Simulator
from superalign.studies.interp.dossiers import Effects
from superalign.studies.interp.effects import logit_effects
from superalign.studies.interp.group import BOOTSTRAP
from superalign.studies.interp.spec import Interp

if TYPE_CHECKING:
    from superalign.interp.dictionaries.dictionary import Dictionary
    from superalign.interp.scorers.effects import Directions
    from superalign.interp.subject import Subject

ASKED = 12
"""Windows of each split that a simulator which is a language model is asked for; a program predicts all of them."""


@dataclass(frozen=True)
class Voices:
    """An explainer, a simulator, the scorers (simulation first), and what tokens a unit promotes. `windows` of a split
    are what a simulator that is a model is asked for; None where nobody is asked: predicates and programs."""

    explainer: Explainer
    simulator: Simulator
    scorers: tuple[Scorer, ...]
    effects: Effects
    windows: int | None


def voices(
    spec: Interp, subject: Subject, store: Store, encoders: Mapping[str, Dictionary | None], progress: Progress
) -> Voices:
    """Everybody that the spec names. Raises PluginError and ModelError for models that cannot be found."""
    transcript = Transcript(store, f"interp/{digest(dict(subject.identity))[:16]}")  # for every spec about this model
    speak = partial(_model, store=store)
    directions = written_by(encoders)
    simulator = _simulator(spec.simulator, speak, transcript, progress)
    explainer: Explainer = Predicates()
    if spec.explainer != "predicates":
        from superalign.interp.explainers.language import Language

        explainer = Language(speak(spec.explainer), transcript, progress=progress)
        if spec.simulator == "programs":
            raise SpecError("programs simulate predicates alone; name a simulator for what a language model says: "
                            f"--simulator {spec.explainer}")  # fmt: skip
    if spec.revise:
        from superalign.interp.explainers.revision import Revision
        from superalign.studies.interp.traces import Traces

        explainer = Revision(
            speak(spec.explainer), Traces(subject, encoders), simulator, first=explainer, transcript=transcript,
            rounds=spec.revise, progress=progress,
        )  # fmt: skip
    asked = None if spec.simulator == "programs" else ASKED
    make: dict[str, Callable[[], Scorer]] = {
        "simulation": lambda: SimulationScores(simulator, windows=asked, bootstrap=BOOTSTRAP, seed=spec.seeds[0]),
        "ablation": lambda: _ablation(spec, subject, simulator, directions),
        "intervention": lambda: _intervention(spec, subject, directions),
        "surprisal": lambda: _surprisal(subject),
        "embedding": lambda: _embedding(spec, store),
        **{
            name: partial(_judged, name, spec, speak, transcript, progress)
            for name in ("detection", "fuzzing", "intruder")
        },
    }
    order = ("simulation", *(s for s in spec.scores if s != "simulation"))
    scorers = tuple(make[name]() for name in order)
    return Voices(explainer, simulator, scorers, logit_effects(subject, directions), asked)


def _model(reference: str, store: Store) -> Model:
    model: Model = build("models", reference, inputs=None, steps=Steps(store), choices=())
    return model


def _simulator(reference: str, speak: Callable[[str], Model], transcript: Transcript, progress: Progress) -> Simulator:
    """`programs`; a model that is asked token by token, or as `rewriting:MODEL` window by window; a local decoder in
    one pass a window, `all-at-once:FOLDER`."""
    if reference == "programs":
        return Programs()
    way, _, rest = reference.partition(":")
    if way == "all-at-once":
        from superalign.interp.simulators.all_at_once import all_at_once

        return all_at_once(rest, progress=progress)
    if way == "rewriting":
        from superalign.interp.simulators.rewriting import Rewriting

        return Rewriting(speak(rest), transcript, progress=progress)
    from superalign.interp.simulators.token_by_token import TokenByToken

    return TokenByToken(speak(rest if way == "token-by-token" else reference), transcript, progress=progress)


def written_by(encoders: Mapping[str, Dictionary | None]) -> Directions:
    """Where latents are written, by the name of their site; transcoders write to the output of the MLP."""
    found: dict[str, Any] = {}
    for site, dictionary in encoders.items():
        if dictionary is not None:
            to = site.replace("mlp_in", "mlp_out") if dictionary.transcode else site
            found[f"{site}+{dictionary.kind}"] = (to, dictionary.directions)
    return found


def _ablation(spec: Interp, subject: Subject, simulator: Simulator, directions: Directions) -> Scorer:
    from superalign.interp.scorers.ablation import Ablation

    contexts = 16 if spec.simulator == "programs" else 4
    return Ablation(subject, simulator, dict(directions), contexts=contexts, bootstrap=BOOTSTRAP, seed=spec.seeds[0])


def _likelihoods(subject: Subject) -> Any:
    from superalign.models.hf.zero_shot import continuation_log_probs

    return partial(continuation_log_probs, subject.model, subject.tokenizer, subject.context)


def _intervention(spec: Interp, subject: Subject, directions: Directions) -> Scorer:
    from superalign.interp.scorers.intervention import Intervention

    return Intervention(subject, _likelihoods(subject), dict(directions), seed=spec.seeds[0])


def _surprisal(subject: Subject) -> Scorer:
    from superalign.interp.scorers.surprisal import Surprisal

    return Surprisal(_likelihoods(subject), name=subject.name)


def _embedding(spec: Interp, store: Store) -> Scorer:
    from superalign.interp.scorers.embedding import Embedding, embedded

    assert spec.embedder is not None
    model = build("models", spec.embedder, inputs=None, steps=Steps(store), choices=("no", "yes"))
    return Embedding(embedded(model), name=spec.embedder)


def _judged(
    name: str, spec: Interp, speak: Callable[[str], Model], transcript: Transcript, progress: Progress
) -> Scorer:
    from superalign.interp.scorers.detection import Detection
    from superalign.interp.scorers.fuzzing import Fuzzing
    from superalign.interp.scorers.intruder import Intruder

    assert spec.judge is not None
    kind: Any = {"detection": Detection, "fuzzing": Fuzzing, "intruder": Intruder}[name]
    found: Scorer = kind(speak(spec.judge), transcript, progress=progress)
    return found

"""`superalign rlhf`: which algorithm, reward and KL weight raise the truth, and when does the proxy leave it?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl, Threads
from superalign.cli.oversee import given, pairs
from superalign.cli.w2s import listed, seeds_of

EPILOG = """\b
Examples:
  superalign rlhf --world sentiment-markov --algo ppo,grpo,rloo,dpo,best-of-n,rejection
  superalign rlhf --algo ppo,best-of-n --rm-prompts 64,1024 --beta 0,.1 --seeds 3
  superalign rlhf --algo ppo --beta 0 --ptx 0,1 --value rm,zero
  superalign rlhf --overseer gold,gold:noise=.3,gold:bias=table:strength=2,weak:n=32,judge:protocol=debate:rounds=2
  superalign rlhf --algo dpo --overseer human --rm-prompts 16
  superalign rlhf --model hf:./my-model --prompts prompts.txt --overseer ./mine.py:reward --reward overseer --algo grpo
\b
An overseer labels pairs: gold, gold:noise=.3 (flips labels), gold:bias=WORD:strength=2 (logits per word), weak:n=64 (a
reward model of few labels), judge:protocol=debate (a debate before a judge), human (people rank the responses to each
prompt at the page, `superalign serve`; human:people=2 asks two), labeller (so does --cast labeller=MODEL), or
./mine.py:reward, a function of (prompts, completions) that returns scores.
"""

Text = str | None


def add(app: typer.Typer) -> None:
    app.command("rlhf", epilog=EPILOG)(rlhf)


def rlhf(
    algo: Annotated[str, typer.Option(help="Algorithms: ppo, grpo, rloo, dpo, rejection, best-of-n.")] = "ppo",
    world: Annotated[Text, typer.Option(help="A world with a known truth. [default: sentiment-markov]")] = None,
    overseer: Annotated[
        list[str] | None, typer.Option(help="Who labels pairs; commas or repeat for more. [default: gold]")
    ] = None,
    stance: Annotated[
        str | None, typer.Option(help="./mine.py:stance, texts to numbers: whether responses take the prompt's side.")
    ] = None,
    reward: Annotated[str, typer.Option(help="What is optimised: rm, or the overseer itself (overseer).")] = "rm",
    rm_prompts: Annotated[str, typer.Option(help="Labelled prompts, such as 64,1024.")] = "64",
    beta: Annotated[str, typer.Option(help="Weights of the KL to the start model.")] = "0.1",
    ptx: Annotated[str, typer.Option(help="Weights of the language loss on the corpus (PPO-ptx).")] = "0",
    value: Annotated[str, typer.Option(help="Where PPO's value starts: rm or zero.")] = "rm",
    seeds: Annotated[str, typer.Option(help="How many seeds, or a list of them; 0 is the first alone.")] = "1",
    cast: Annotated[list[str] | None, typer.Option(help="A chair of a judging overseer, role=MODEL; repeat.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of a part, such as ppo.lr=3e-4 or sft.steps=100; repeat."),
    ] = None,
    model: Annotated[Text, typer.Option(help="A policy of your own in place of a world: hf:FOLDER.")] = None,
    prompts: Annotated[Text, typer.Option(help="Its prompts: lines of a text, or a column `prompt`.")] = None,
    demonstrations: Annotated[Text, typer.Option(help="Texts to imitate first: columns prompt, completion.")] = None,
    gold: Annotated[
        Text, typer.Option(help="What grades it: ./mine.py:truth. [default: the first such overseer]")
    ] = None,
    store: StoreUrl = None,
    report: ReportPath = None,
    threads: Threads = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """RLHF from any overseer: fine-tune, learn a reward from its labels, optimise it, and see what the truth does.

    Prints every arm with its gold reward at the end and at its peak, the proxy (both in standard deviations of the start
    model's samples), the KL in nats and the win rate over the start model.
    """
    from superalign.compute.threads import limit as limit_threads

    limit_threads(threads)
    from superalign.core.spec import validate
    from superalign.studies.rlhf import RLHF

    values: dict[str, Any] = {
        "algorithms": listed(algo), "overseers": tuple(t for text in overseer or () for t in listed(text)), "reward": listed(reward), "stance": stance,
        "rm_prompts": numbers(rm_prompts, "--rm-prompts"), "beta": numbers(beta, "--beta"), "ptx": numbers(ptx, "--ptx"),
        "value": listed(value), "cast": pairs(cast or ()), "settings": settings(set_ or ()), "world": world,
        "model": model, "prompts": prompts, "demonstrations": demonstrations, "gold": gold,
    }  # fmt: skip
    values = given(values) | {"seeds": seeds_of(seeds) or (0,)}
    execute(validate(RLHF, values), store=store, as_json=as_json, dry_run=dry_run, report=report)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Numbers, separated by commas."""
    try:
        return tuple(float(part) for part in listed(text))
    except ValueError:
        raise typer.BadParameter(f"{option} takes numbers such as 0,.1; got {text!r}") from None


def settings(texts: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """`part.option=value` pairs, read as plug-in options are."""
    from superalign.core.registry import parse

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or name.strip() in found:
            raise typer.BadParameter(f"--set takes part.option=value, each once, such as ppo.lr=3e-4; got {text!r}")
        found[name.strip()] = parse(f"set:value={value}").options["value"]
    return found

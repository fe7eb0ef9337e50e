"""A real language model plays every role in one process, and answers alike behind a real server.

The model is the 260k TinyStories llama; the server is `transformers serve`, asked through `api:`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.driver import play
from superalign.core.types import Ask, Item, Message, Moves, Reply, Seat, Settings, Verdict
from superalign.models.hf.llama2c import convert
from superalign.models.hf.load import hf
from superalign.protocols.direct import direct
from tests.datafolder import data

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
STORIES = [
    Item("dog", "Once upon a time, Lily had a big red dog. What did Lily have?", ("a dog", "a boat")),
    Item("ball", "Tim and his friend played with a ball in the park. Where were they?", ("at home", "in the park")),
    Item("rain", "It was raining. Mom said, take the hat! What did Mom want?", ("a hat", "a cake", "a song")),
]


@pytest.fixture(scope="module")
def story_teller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted model."""
    made = tmp_path_factory.mktemp("teller") / "stories"
    convert(data("stories260k/tinystories_260k/checkpoint_legacy.bin"),
            data("stories260k/tinystories_260k/tokenizer.bin"), made)  # fmt: skip
    return made


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a chat template, and without the space that its tokenizer puts before a text: with it, the
    letter A alone is two tokens, which typed decisions do not take."""
    made = tmp_path_factory.mktemp("chat") / "stories"
    convert(data("stories260k/tinystories_260k/checkpoint_legacy.bin"),
            data("stories260k/tinystories_260k/tokenizer.bin"), made)  # fmt: skip
    tokenizer = json.loads((made / "tokenizer.json").read_text(encoding="utf-8"))
    (made / "tokenizer.json").write_text(json.dumps({**tokenizer, "normalizer": None}), encoding="utf-8")
    (made / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return made


def two_turns(item: Item, seat: Seat) -> Moves:
    """Each side speaks once, at the same time; then the judge, who hears both, decides."""
    sides = range(len(item.choices))
    said = yield [
        Ask(f"debater/{chr(97 + k)}", (Message("user", f"{item.prompt} Say why it is {item.choices[k]}."),), (), item,
            seat.seed, Settings(temperature=0.8 * (k % 2), max_tokens=24))
        for k in sides
    ]  # fmt: skip
    heard = "\n".join(f"({chr(65 + k)}) {item.choices[k]}. {said[k].text}" for k in sides)
    (reply,) = yield (Ask("judge", (Message("user", f"{item.prompt}\n{heard}"),), item.choices, item),)
    return Verdict(int(np.argmax(reply.probs)), reply.probs)


@pytest.mark.parametrize("protocol", [direct(), two_turns], ids=["direct", "two turns"])
def test_one_model_plays_judge_and_debaters(story_teller: Path, protocol: Any) -> None:
    model = hf(str(story_teller), tune="none")
    cast = {"judge": model, "debater": model}
    games = [(item, Seat(seed)) for item in STORIES for seed in (0, 1)]
    together = play(protocol, cast, games)
    alone = [play(protocol, cast, [game])[0] for game in games]
    for one, other in zip(together, alone, strict=True):
        assert [reply.text for _, reply in one.calls] == [reply.text for _, reply in other.calls]
        assert np.allclose(one.verdict.probs, other.verdict.probs, atol=1e-5)
        assert sum(one.verdict.probs) == pytest.approx(1)
        assert one.verdict.abstained is None
    if protocol is two_turns:
        speeches = [reply.text for judgment in together for ask, reply in judgment.calls if not ask.choices]
        assert all(len(speech.split()) > 3 for speech in speeches)  # it talks, if not to the point
        first, second = ([j.calls[k][1].text for j in together[:2]] for k in (0, 1))
        assert first[0] == first[1]  # greedy
        assert second[0] != second[1]  # another seed, another draw


@pytest.fixture(scope="module")
def server(chat: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running `transformers serve`, up to `/v1`."""
    missing = [name for name in ("fastapi", "uvicorn", "openai", "httpx") if find_spec(name) is None]
    if missing:
        message = f"needs {', '.join(missing)}; type: pip install 'transformers[serving]' httpx"
        if "serving" in os.environ.get("SUPERALIGN_REQUIRE", "").replace(",", " ").split():
            pytest.fail(message)
        pytest.skip(message)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", str(chat),
               "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            _wait(process, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import httpx

    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def replies(model: Any, asks: Sequence[Ask]) -> list[Reply]:
    found = dict(model.answer(asks))
    return [found[i] for i in range(len(asks))]


def judge(item: Item) -> Ask:
    listed = "\n".join(f"({chr(65 + k)}) {choice}" for k, choice in enumerate(item.choices))
    talk = (Message("system", "Answer with a letter."), Message("user", f"{item.prompt}\n{listed}"))
    return Ask("judge", talk, item.choices)


def test_typed_decisions_of_the_server_are_those_of_the_model(chat: Path, server: str) -> None:
    from superalign.models.api import api

    asks = [judge(item) for item in STORIES]
    served = replies(api(server, model=str(chat), probs="typed"), asks)
    local = replies(hf(str(chat), tune="none", probs="typed"), asks)
    assert [reply.failure for reply in served] == [None] * 3
    for ask, one, other in zip(asks, served, local, strict=True):
        assert np.allclose(one.probs, other.probs, atol=1e-5)
        assert other.text == ask.choices[int(np.argmax(one.probs))]
        assert one.cost.tokens_in == other.cost.tokens_in
    assert len({round(reply.probs[0], 3) for reply in served}) == 3


def test_the_letters_of_the_same_prompt_have_the_same_probabilities(chat: Path, server: str) -> None:
    """The prompt that the server makes of a question, read as any other."""
    from transformers import AutoTokenizer

    from superalign.models.api import api
    from superalign.models.hf.decision import Decisions

    tokenizer = AutoTokenizer.from_pretrained(chat)
    decisions = Decisions(tokenizer, chat)
    asks = [judge(item) for item in STORIES]
    prompts = [tokenizer.decode(decisions.ids(ask.messages, ask.choices)) for ask in asks]
    talks = [(Message("user", text.removeprefix("user: ").removesuffix("\nassistant:")),) for text in prompts]
    assert all(text.startswith("user: ") and text.endswith("\nassistant:") for text in prompts)
    served = replies(api(server, model=str(chat), probs="typed"), asks)
    read = replies(hf(str(chat), tune="none"), [Ask("judge", t, a.choices) for t, a in zip(talks, asks, strict=True)])
    for one, other in zip(served, read, strict=True):
        assert np.allclose(one.probs, other.probs, atol=1e-5)


def test_the_server_writes_what_the_model_writes(chat: Path, server: str) -> None:
    from superalign.models.api import api

    model = api(server, model=str(chat), probs="sample", draws=2, max_tokens=12)
    asks = [Ask("debater/a", (Message("user", item.prompt),)) for item in STORIES]
    local = replies(hf(str(chat), tune="none", max_tokens=12), asks)
    served = replies(model, asks)
    assert [reply.failure for reply in served] == [None] * 3
    assert [reply.text.strip() for reply in served] == [reply.text for reply in local]
    assert [reply.cost.tokens_out for reply in served] == [reply.cost.tokens_out for reply in local]
    (sampled,) = replies(model, [judge(STORIES[0])])
    assert sampled.failure is None
    assert sampled.probs == () or sum(sampled.probs) == pytest.approx(1)

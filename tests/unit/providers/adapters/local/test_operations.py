from __future__ import annotations

import asyncio
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from nexusai.providers import ProviderConfig, open_provider
from nexusai.providers.errors import CapabilityError, RateLimitError, ValidationError
from nexusai.providers.types import (
    ChatRequest,
    Cost,
    EmbeddingRequest,
    ImageRequest,
    ModerationRequest,
    SpeechRequest,
    TranscriptionRequest,
)
from tests.fixtures.sounds import wav

T = TypeVar("T")
PASSAGE = (
    "The Nile flows north through eleven countries. It ends in the Mediterranean Sea. Boats are common there."
)


class Hourglass(selectors.DefaultSelector):
    """Time passes only by waiting, and waiting takes no time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


class HourglassLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.glass = Hourglass()
        super().__init__(self.glass)

    def time(self) -> float:
        return self.glass.now


def timed(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """What the work gives, and the seconds for which it waited."""
    loop = HourglassLoop()
    try:
        result = loop.run_until_complete(work)
        return result, loop.time()
    finally:
        loop.close()


@pytest.fixture
async def local():
    provider = opened()
    yield provider
    await provider.aclose()


def opened():
    return open_provider(ProviderConfig("local"))


def chat_request(prompt="hello", model="text", **options):
    return ChatRequest(model=model, messages=[{"role": "user", "content": prompt}], **options)


def simulated(**config):
    return chat_request(model="simulate", extra=config)


async def streamed(provider, request):
    return [chunk async for chunk in provider.stream(request)]


async def until(condition: Callable[[], object]) -> None:
    """Waits for what happens outside of the event loop; pytest's own time limit ends it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_can_do_a_little_of_everything():
    assert opened().capabilities == {
        *("chat", "stream", "images", "speech", "transcription", "embeddings", "moderation")
    }
    assert opened().name == "local"


@pytest.mark.parametrize(
    ("capability", "model"),
    [
        ("chat", "text"),
        ("stream", "text"),
        ("images", "image"),
        ("speech", "speech"),
        ("transcription", "transcribe"),
        ("embeddings", "embedding"),
        ("moderation", "rules"),
        ("tools", None),
        ("image_edit", None),
    ],
)
def test_each_capability_has_its_model(capability, model):
    assert opened().default_model(capability) == model


@pytest.mark.parametrize("model", ["text", "simulate"])
async def test_an_answer_names_its_model_costs_nothing_and_is_marked_as_a_demo(local, model):
    answer = await local.chat(chat_request(model=model))
    assert (answer.model, answer.cost, answer.extra["demo"]) == (model, Cost(0.0), True)


FEATURES = {
    "tools": {"tools": [{"type": "function", "function": {"name": "f"}}]},
    "response_format": {"response_format": {"type": "json_schema", "json_schema": {}}},
    "images": {"prompt": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
}


@pytest.mark.parametrize("asked", FEATURES.values(), ids=FEATURES)
async def test_a_request_that_was_made_for_a_model_can_be_simulated_as_it_is(local, asked):
    assert (await local.chat(chat_request(model="simulate", reasoning_effort="low", **asked))).content


@pytest.mark.parametrize(("feature", "asked"), FEATURES.items(), ids=FEATURES)
async def test_what_only_a_model_can_do_is_refused_with_the_way_to_one(local, feature, asked):
    with pytest.raises(CapabilityError, match=f"demo without .*{feature}.*OPENAI_API_KEY"):
        await local.chat(chat_request(**asked))


@pytest.mark.parametrize(
    "request_", [chat_request(PASSAGE + " Which sea is it?"), chat_request("你好"), simulated(tokens=600)]
)
async def test_a_stream_says_what_a_chat_says(local, request_):
    chunks, answer = await streamed(local, request_), await local.chat(request_)
    assert "".join(chunk.delta for chunk in chunks) == answer.content
    assert (chunks[-2].finish_reason, chunks[-1].usage) == (answer.finish_reason, answer.usage)
    assert chunks[-1].extra == answer.extra
    assert {chunk.model for chunk in chunks} == {answer.model}
    assert len(chunks) > 5


async def test_citations_come_with_the_last_chunk(local):
    chunks = await streamed(local, chat_request(f"{PASSAGE} Which sea does it end in?"))
    assert [c["quote"] for c in chunks[-1].extra["citations"]] == ["It ends in the Mediterranean Sea."]


async def test_a_long_text_is_read_off_the_event_loop(local):
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    answer = await local.chat(chat_request(f"Summarize: {PASSAGE * 400}"))
    counting.cancel()
    assert len(answer.extra["citations"]) == 5
    assert turns > 0


@pytest.mark.parametrize("call", ["chat", "stream"])
@pytest.mark.parametrize("model", ["image", "gpt-4o", ""])
async def test_an_unknown_chat_model_is_answered_with_the_known_ones(local, call, model):
    with pytest.raises(ValidationError, match="local/text and local/simulate"):
        await (
            local.chat(chat_request(model=model))
            if call == "chat"
            else streamed(local, chat_request(model=model))
        )


async def test_an_unknown_image_model_is_answered_with_the_known_one(local):
    with pytest.raises(ValidationError, match="there is local/image"):
        await local.generate_images(ImageRequest(model="text", prompt="x"))


async def test_an_unknown_speech_model_is_answered_with_the_known_one(local):
    with pytest.raises(ValidationError, match="there is local/speech"):
        await local.synthesize(SpeechRequest(model="tts-1", text="x"))


def test_a_simulated_chat_waits_for_its_latency_and_its_tokens():
    request = simulated(latency=0.5, tokens=10, tokens_per_second=20)
    assert timed(opened().chat(request))[1] == pytest.approx(1.0)


def test_a_simulated_chat_without_latency_waits_for_nothing():
    work = opened().chat(simulated())
    with pytest.raises(StopIteration):
        work.send(None)


def test_a_simulated_stream_gives_each_token_at_its_time():
    async def arrivals() -> list[float]:
        clock = asyncio.get_running_loop().time
        request = simulated(latency=0.5, tokens=4, tokens_per_second=10)
        return [clock() async for _ in opened().stream(request)]

    times, whole = timed(arrivals())
    assert times[:4] == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert whole == pytest.approx(0.9)


def test_a_slow_reader_does_not_slow_the_stream_down_further():
    async def read_slowly() -> None:
        async for _ in opened().stream(simulated(tokens=10, tokens_per_second=10)):
            await asyncio.sleep(0.05)

    assert timed(read_slowly())[1] == pytest.approx(1.1)


def test_a_thousand_simulated_seconds_pass_at_once():
    async def all_at_once() -> int:
        provider = opened()
        return len(await asyncio.gather(*(provider.chat(simulated(latency=1)) for _ in range(1000))))

    assert timed(all_at_once()) == (1000, pytest.approx(1.0))


def test_a_simulated_chat_starts_no_thread():
    before = threading.active_count()
    asyncio.run(opened().chat(simulated(tokens=1000)))
    assert threading.active_count() == before


@pytest.mark.parametrize("call", ["chat", "stream"])
def test_a_simulated_failure_comes_after_the_latency_and_before_any_token(call):
    async def fail() -> None:
        provider, request = (
            opened(),
            simulated(latency=2, tokens_per_second=1, error_code="RATE_LIMIT_EXCEEDED"),
        )
        with pytest.raises(RateLimitError):
            await (provider.chat(request) if call == "chat" else anext(provider.stream(request)))

    assert timed(fail())[1] == pytest.approx(2.0)


async def test_a_long_stream_lets_others_have_a_turn(local):
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    await streamed(local, simulated(tokens=5000))
    counting.cancel()
    assert turns > 5


async def test_a_stream_can_be_closed_early(local):
    stream = local.stream(simulated(tokens=1000))
    await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_several_pictures_all_differ(local):
    answer = await local.generate_images(ImageRequest(model="image", prompt="sea", n=3, size=(64, 64)))
    assert len({image.data for image in answer.images}) == 3
    assert (answer.model, answer.cost, answer.extra) == ("image", Cost(0.0), {"demo": True})


async def test_at_most_two_threads_draw(local):
    await local.generate_images(ImageRequest(model="image", prompt="sea", n=6, size=(32, 32)))
    assert sum(thread.name.startswith("nexus-local-image") for thread in threading.enumerate()) <= 2


async def test_the_event_loop_turns_while_a_picture_is_drawn(local):
    drawing = asyncio.create_task(local.generate_images(ImageRequest(model="image", prompt="sea")))
    turns = 0
    while not drawing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


async def test_it_speaks(local, fake_espeak):
    fake_espeak("sys.stdout.buffer.write(b'RIFF' + bytes(40) + b'sound')")
    answer = await local.synthesize(SpeechRequest(model="speech", text="hello"))
    assert (answer.format, answer.model, answer.cost) == ("wav", "speech", Cost(0.0))
    assert answer.extra == {"demo": True}
    assert answer.data.startswith(b"RIFF")
    assert answer.data.endswith(b"sound")


async def test_at_most_two_speak_at_once(local, fake_espeak, tmp_path):
    fake_espeak(f"""
os.chdir({str(tmp_path)!r})
mine = f"running-{{os.getpid()}}"
open(mine, "w").close()
with open("seen", "a") as seen:
    seen.write(f"{{sum(name.startswith('running') for name in os.listdir())}}\\n")
time.sleep(0.05)
os.remove(mine)
sys.stdout.buffer.write(b"RIFF" + bytes(40) + b"sound")
""")
    await asyncio.gather(*(local.synthesize(SpeechRequest(model="speech", text="hello")) for _ in range(6)))
    seen = [int(line) for line in (tmp_path / "seen").read_text().split()]
    assert len(seen) == 6
    assert max(seen) <= 2


async def test_cancelling_kills_the_child(local, fake_espeak, tmp_path):
    pid = tmp_path / "pid"
    fake_espeak(f"open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    speaking = asyncio.create_task(local.synthesize(SpeechRequest(model="speech", text="hello")))
    await until(lambda: pid.exists() and pid.read_text())
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    await until(lambda: not is_running(int(pid.read_text())))


async def test_it_listens(local):
    pytest.importorskip("pocketsphinx")
    answer = await local.transcribe(TranscriptionRequest("transcribe", wav((0.5, 0)), timestamps=True))
    assert (answer.text, answer.duration, answer.language) == ("", 0.5, "en")
    assert (answer.segments, answer.cost, answer.extra) == ([], Cost(0.0), {"demo": True})


async def test_segments_come_when_they_are_asked_for(local):
    pytest.importorskip("pocketsphinx")
    answer = await local.transcribe(TranscriptionRequest("transcribe", wav((0.1, 0))))
    assert answer.segments is None


async def test_cancelling_stops_listening(local, tmp_path, monkeypatch):
    pytest.importorskip("pocketsphinx")
    pid = tmp_path / "pid"
    (tmp_path / "pocketsphinx.py").write_text(
        f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    listening = asyncio.create_task(local.transcribe(TranscriptionRequest("transcribe", wav((0.1, 0)))))
    await until(lambda: pid.exists() and pid.read_text())
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    await until(lambda: not is_running(int(pid.read_text())))


async def test_texts_become_vectors_in_their_order(local):
    answer = await local.embed(EmbeddingRequest("embedding", ["one", "two", "one"]))
    first, second, third = answer.embeddings
    assert first == third != second
    assert (len(first), answer.model, answer.cost) == (512, "embedding", Cost(0.0))
    assert (answer.usage.source, answer.extra) == ("estimate", {"demo": True})


async def test_texts_are_judged_in_their_order(local):
    answer = await local.moderate(ModerationRequest("rules", ["me@example.com", "hello"]))
    assert [judgement.flagged for judgement in answer.results] == [True, False]
    assert (answer.model, answer.cost, answer.extra) == ("rules", Cost(0.0), {"demo": True})


async def test_the_user_s_own_words_are_rules(tmp_path):
    (tmp_path / "words").write_text("[products]\nnightingale\n")
    config = ProviderConfig("local", options={"moderation_words": str(tmp_path / "words")})
    answer = await open_provider(config).moderate(ModerationRequest("rules", ["Project Nightingale"]))
    assert answer.results[0].categories["words/products"]


@pytest.mark.parametrize(
    "call",
    [
        lambda local: local.embed(EmbeddingRequest("embedding", ["a word and another " * 5000])),
        lambda local: local.moderate(ModerationRequest("rules", ["a word and another " * 5000])),
    ],
)
async def test_long_texts_hold_nobody_up(local, call):
    working, turns = asyncio.create_task(call(local)), 0
    while not working.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 0


@pytest.mark.parametrize(
    ("call", "known"),
    [
        (lambda local: local.transcribe(TranscriptionRequest("whisper-1", b"x")), "local/transcribe"),
        (lambda local: local.embed(EmbeddingRequest("ada", ["x"])), "local/embedding"),
        (lambda local: local.moderate(ModerationRequest("omni", ["x"])), "local/rules"),
    ],
)
async def test_another_unknown_model_is_answered_with_the_known_one(local, call, known):
    with pytest.raises(ValidationError, match=f"there is {known}"):
        await call(local)


def test_one_provider_serves_several_event_loops():
    provider = opened()
    request = ImageRequest(model="image", prompt="sea", size=(32, 32), n=5)
    first, second = (asyncio.run(provider.generate_images(request)) for _ in range(2))
    asyncio.run(provider.aclose())
    assert first == second


def test_importing_it_loads_neither_pillow_nor_ctypes():
    code = (
        "import sys, nexusai.providers.adapters.local\n"
        "heavy = {'PIL', 'av', 'ctypes', 'espeakng_loader', 'httpx', 'pocketsphinx', 'pydantic'}\n"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_an_unknown_model_is_named_by_its_first_hundred_characters():
    with pytest.raises(ValidationError, match=rf"local/{'m' * 100} here: there is local/text"):
        await opened().chat(ChatRequest("m" * 5000, [{"role": "user", "content": "hi"}]))

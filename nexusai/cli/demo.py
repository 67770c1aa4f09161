"""`nexusai demo`: the whole of it in a minute, on a platform of its own that is killed half-way."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from nexusai import NexusAIClient, TaskFailedError, TaskHandle, TextResponse
from nexusai.error import NexusAIError
from nexusai.testing import Platform

__all__ = ["run"]

TASKS = 50
KILL_AFTER = 15
"""How many of the tasks are done when the platform is killed."""

PASSAGE = (
    "Nexus AI stores every task before it accepts it. A worker claims the task and keeps a lease on it. "
    "When the worker dies, the lease ends and another worker runs the task again. "
    "The result is written once: a worker that lost its lease can no longer finish the task."
)


class LostTasks(NexusAIError):
    """The demo found a task that was lost or done twice."""


def run(output: Path) -> None:
    """Run the demo; pictures and sounds go to the folder `output`. Raises what a step raises."""
    console = Console(highlight=False)
    summary = Table("step", "result", "seconds", title="What happened", title_justify="left")
    output.mkdir(parents=True, exist_ok=True)

    def step(name: str, work: Callable[[], str]) -> None:
        begun = time.perf_counter()
        result = work()
        summary.add_row(name, result, f"{time.perf_counter() - begun:.2f}")
        console.print(f"[green]✓[/] {name}: {result}")

    console.print("Nexus AI, embedded: no key, no other service, a temporary folder.\n")
    platform = Platform()
    try:
        step("start the platform", lambda: _start(platform))
        with platform.client() as client:
            step("generate text", lambda: _generate(client))
            step("stream text", lambda: _stream(client, console))
            step("make an image", lambda: _image(client, output))
            step("speak", lambda: _speak(client, output))
            step(f"run {TASKS} tasks, kill -9 at {KILL_AFTER}", lambda: _survive(platform, client, console))
    finally:
        platform.close()
    console.print()
    console.print(summary)
    _say_what_next(console, output)


def _start(platform: Platform) -> str:
    platform.start()
    return platform.url


def _generate(client: NexusAIClient) -> str:
    question = f"{PASSAGE}\n\nWhat happens when the worker dies?"
    return client.text.generate(question).text.partition("\n")[0]


def _stream(client: NexusAIClient, console: Console) -> str:
    chunks = 0
    pace = {"tokens": 24, "tokens_per_second": 30}
    with client.text.stream("A walk", provider="local", model="simulate", config=pace) as stream:
        for chunk in stream:
            console.print(chunk.text, end="", style="dim")
            chunks += bool(chunk.text)
    console.print()
    return f"{chunks} chunks as they came"


def _image(client: NexusAIClient, output: Path) -> str:
    image = client.images.generate("A sunset over the sea", size="768x512")
    return f"{image.width}x{image.height}, {image.save(output / 'sunset.png')}"


def _speak(client: NexusAIClient, output: Path) -> str:
    try:
        speech = client.audio.synthesize("Hello. Every model, by one key and one contract.")
    except TaskFailedError as error:  # there is no voice on this machine: the message says how to get one
        return f"skipped: {error.message}"
    return f"{speech.duration:.1f} s, {speech.save(output / 'hello.wav')}"


def _survive(platform: Platform, client: NexusAIClient, console: Console) -> str:
    handles = [_submit(client, number) for number in range(TASKS)]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("running", total=TASKS)
        for done, _ in enumerate(client.tasks.as_completed(handles), 1):
            progress.update(bar, completed=done)
            if done == KILL_AFTER:
                platform.kill()
                progress.update(bar, description="killed; starting again")
                platform.start()
                progress.update(bar, description="running again")
    return _count(client, {handle.id for handle in handles})


def _submit(client: NexusAIClient, number: int) -> TaskHandle[TextResponse]:
    return client.text.generate_async(
        f"task {number}",
        provider="local",
        model="simulate",
        config={"latency": 0.5 + number / 10},
        metadata={"demo": "survive"},
    )


def _count(client: NexusAIClient, submitted: set[str]) -> str:
    """The platform's own account of the tasks, held against what was submitted."""
    tasks = client.tasks.list(metadata={"demo": "survive"}, limit=100).data
    completed = [task for task in tasks if task.status == "completed"]
    if {task.task_id for task in completed} != submitted or len(tasks) != TASKS:
        raise LostTasks(f"Of {len(submitted)} tasks {len(completed)} are completed, in {len(tasks)} rows.")
    again = sum((task.attempts or 0) > 1 for task in tasks)
    return f"{len(completed)} of {TASKS} completed, none twice ({again} were cut off and run again)"


def _say_what_next(console: Console, output: Path) -> None:
    nexusai, python = _command("nexusai", sys.argv[0]), _command("python", sys.executable)
    console.print(f"\nLook into [bold]{output}/[/]. Then:\n")
    for command, what in (
        (f"{nexusai} serve", "the platform, for as long as you like"),
        ("export OPENAI_API_KEY=…", "before serve: real models, by any vendor's key"),
        (f"{python} -c 'import nexusai; print(nexusai.text.generate(\"Hello\"))'", "beside serve: a call"),
    ):
        console.print(f"  [bold]{command}[/]\n      {what}", soft_wrap=True)
    console.print("\ndocs/getting_started.md takes you through it step by step.")


def _command(name: str, path: str) -> str:
    """How the reader can call a program: by its name where that is this very one, else by its path."""
    found = shutil.which(name)
    is_this = found is not None and os.path.abspath(found) == os.path.abspath(path)
    return name if is_this else os.path.relpath(path)

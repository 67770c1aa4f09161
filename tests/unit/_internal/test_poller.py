from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Generator
from typing import Any

import pytest

from nexusai._internal._flow import Call, Emit, Grace, OutOfTime, Reply, Sleep
from nexusai._internal._poller import TaskPoller
from nexusai.error import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    ConflictError,
    RateLimitError,
    ServerError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
)
from nexusai.models import Task

RUNNING = Task(task_id="task_1", task_type="text_generation", status="running")
HELD = {"preference-applied": "wait=30"}


def answer(
    status: str = "running", headers: dict[str, str] | None = None, elapsed: float = 0.0, **fields: Any
) -> Reply:
    return Reply(
        200, headers or {}, json.dumps({"task_id": "task_1", "status": status, **fields}).encode(), elapsed
    )


def returned(flow: Generator[Any, Any, Any], *answers: Reply) -> Any:
    """What the flow returns after these answers; its pauses pass."""
    waiting = list(answers)
    try:
        step = next(flow)
        while True:
            step = flow.send(waiting.pop(0) if isinstance(step, Call) else None)
    except StopIteration as done:
        assert waiting == []
        return done.value


def pauses(flow: Generator[Any, Any, Any], reply: Reply, count: int) -> list[float]:
    """The pauses that the flow asks for between this many polls with the same answer."""
    taken: list[float] = []
    step = next(flow)
    while len(taken) < count:
        step = flow.send(reply if isinstance(step, Call) else None)
        if isinstance(step, Sleep):
            taken.append(step.seconds)
    return taken


def test_a_submission_asks_for_an_asynchronous_answer():
    call = next(TaskPoller().submit({"task_type": "text_generation"}))

    assert (call.method, call.path, call.json) == ("POST", "/invoke", {"task_type": "text_generation"})
    assert call.headers["Prefer"] == "respond-async"
    assert call.idempotency_key


def test_a_submission_may_have_a_key_of_the_callers_own():
    assert next(TaskPoller().submit({}, "order-7")).idempotency_key == "order-7"


def test_a_bare_202_is_enough():
    flow = TaskPoller().submit({"task_type": "text_generation"})
    key = next(flow).idempotency_key
    with pytest.raises(StopIteration) as done:
        flow.send(Reply(202, content=b'{"task_id": "task_1", "status": "queued"}'))

    task = done.value.value
    assert (task.id, task.status, task.task_type) == ("task_1", "queued", "text_generation")
    assert task.idempotency_key == key


def test_a_submission_that_is_answered_with_the_finished_task_is_not_polled():
    task = returned(
        TaskPoller().finish({"task_type": "text_generation"}), answer("completed", output={"text": "hi"})
    )
    assert task.output == {"text": "hi"}


def test_a_submission_that_takes_too_long_carries_its_idempotency_key():
    flow = TaskPoller().submit({})
    key = next(flow).idempotency_key
    with pytest.raises(APITimeoutError, match="did not accept the task within 5 s") as raised:
        flow.throw(OutOfTime(5))
    assert raised.value.idempotency_key == key


def test_a_poll_asks_to_be_held_and_has_no_query():
    call = next(TaskPoller().wait(RUNNING))
    assert call == Call("GET", "/tasks/task_1", hold=30, retry=False)


def test_waiting_ends_with_the_completed_task():
    task = returned(TaskPoller().wait(RUNNING), answer(), answer("completed", output={"text": "hi"}))
    assert task.output == {"text": "hi"}
    assert task.task_type == "text_generation"


def test_a_finished_task_is_not_polled():
    assert returned(TaskPoller().wait(Task(task_id="task_1", status="completed"))).id == "task_1"


def test_a_held_poll_is_followed_by_the_next_at_once():
    flow = TaskPoller().wait(RUNNING)
    next(flow)
    assert isinstance(flow.send(answer(headers=HELD, elapsed=30.0)), Call)


def test_a_poll_that_claims_to_be_held_and_was_not_is_followed_by_a_pause():
    flow = TaskPoller().wait(RUNNING)
    next(flow)
    assert isinstance(flow.send(answer(headers=HELD, elapsed=0.0)), Sleep)


def test_pauses_grow_up_to_the_interval():
    taken = pauses(TaskPoller(interval=1.0).wait(RUNNING), answer(), 8)
    full = [0.2, 0.3, 0.45, 0.675, 1.0, 1.0, 1.0, 1.0]
    assert all(0.75 * most <= pause <= most for pause, most in zip(taken, full, strict=True))


def test_pauses_have_jitter():
    assert len(set(pauses(TaskPoller(interval=0.2).wait(RUNNING), answer(), 20))) > 1


def test_retry_after_is_kept_to():
    assert pauses(TaskPoller().wait(RUNNING), answer(headers={"retry-after": "7"}), 2) == [7.0, 7.0]


@pytest.mark.parametrize(("asked", "kept"), [("3600", 60.0), ("0", 0.2)])
def test_retry_after_is_kept_to_within_bounds(asked: str, kept: float):
    assert pauses(TaskPoller().wait(RUNNING), answer(headers={"retry-after": asked}), 1) == [kept]


@pytest.mark.parametrize(("asked", "kept"), [(3600.0, 60.0), (0.0, 0.2)])
def test_a_poll_that_fails_is_repeated_within_the_same_bounds(asked: float, kept: float):
    flow = TaskPoller().wait(RUNNING)
    next(flow)
    assert flow.throw(RateLimitError("slow", retryable=True, retry_after=asked)) == Sleep(kept)


@pytest.mark.parametrize("asked", ["soon", "nan", "inf", "-5", "1e999", ""])
def test_a_retry_after_that_cannot_be_read_is_ignored(asked: str):
    pause = pauses(TaskPoller().wait(RUNNING), answer(headers={"retry-after": asked}), 1)[0]
    assert 0.15 <= pause <= 0.2


def test_an_answer_about_another_task_is_refused():
    with pytest.raises(APIError, match="not about task_1"):
        returned(TaskPoller().wait(RUNNING), answer("completed", task_id="task_2"))


def test_an_unknown_status_is_not_the_end():
    assert returned(TaskPoller().wait(RUNNING), answer("paused"), answer("completed")).status == "completed"


@pytest.mark.parametrize(
    "error",
    [
        APIConnectionError("reset", retryable=True),
        ServerError("down", status_code=503, retryable=True),
        RateLimitError("slow", status_code=429, retryable=True),
        APITimeoutError("late", retryable=True),
    ],
)
def test_a_poll_that_fails_in_passing_does_not_end_the_wait(error: Exception):
    flow = TaskPoller().wait(RUNNING)
    step: Any = next(flow)
    for _ in range(20):
        step = flow.throw(error)
        assert isinstance(step, Sleep)
        step = flow.send(None)
    with pytest.raises(StopIteration) as done:
        flow.send(answer("completed"))
    assert done.value.value.status == "completed"


def test_a_poll_that_is_told_when_to_come_back_does():
    flow = TaskPoller().wait(RUNNING)
    next(flow)
    assert flow.throw(RateLimitError("slow", retryable=True, retry_after=9.0)) == Sleep(9.0)


def test_a_poll_that_is_refused_ends_the_wait():
    flow = TaskPoller().wait(RUNNING)
    next(flow)
    with pytest.raises(AuthenticationError):
        flow.throw(AuthenticationError("no", status_code=401))


def test_a_failed_task_raises_its_own_message_and_code():
    failure = {"code": "PROVIDER_ERROR", "message": "The model is gone.", "retryable": True}
    with pytest.raises(TaskFailedError, match="The model is gone") as raised:
        returned(TaskPoller().wait(RUNNING), answer("failed", error=failure, request_id="req_1"))

    assert raised.value.error_code == "PROVIDER_ERROR"
    assert raised.value.retryable
    assert raised.value.request_id == "req_1"
    assert raised.value.task.status == "failed"


def test_a_failed_task_that_does_not_say_why():
    with pytest.raises(TaskFailedError, match="task_1 failed and does not say why"):
        returned(TaskPoller().wait(RUNNING), answer("failed"))


def test_a_cancelled_task_raises():
    with pytest.raises(TaskCancelledError, match="task_1 was cancelled") as raised:
        returned(TaskPoller().wait(RUNNING), answer("cancelled"))
    assert raised.value.error_code == "CANCELLED"


def test_out_of_time_tells_what_is_known_and_how_to_go_on():
    flow = TaskPoller().wait(RUNNING)
    next(flow)
    flow.send(answer("running", progress=40))
    with pytest.raises(TaskTimeoutError) as raised:
        flow.throw(OutOfTime(12))

    assert str(raised.value) == (
        "Task task_1 is still running after 12 s. It may yet finish: error.handle.wait(), or "
        "client.tasks.wait('task_1') in any process, waits again."
    )
    assert raised.value.task.progress == 40


def test_out_of_time_tells_of_the_last_failure():
    flow = TaskPoller().wait(RUNNING)
    next(flow)
    trouble = APIConnectionError("Nobody there.", retryable=True)
    flow.throw(trouble)
    with pytest.raises(TaskTimeoutError, match="The last look at it failed: Nobody there") as raised:
        flow.throw(OutOfTime(12))
    assert raised.value.__cause__ is trouble


def test_looking_asks_once_and_does_not_wait():
    flow = TaskPoller().look(RUNNING)
    assert next(flow) == Call("GET", "/tasks/task_1")
    with pytest.raises(StopIteration) as done:
        flow.send(answer("queued"))
    assert done.value.value.status == "queued"


def test_cancelling_answers_the_task():
    flow = TaskPoller().cancel(RUNNING)
    assert next(flow) == Call("POST", "/tasks/task_1/cancel")
    with pytest.raises(StopIteration) as done:
        flow.send(answer("cancelled"))
    assert done.value.value.status == "cancelled"


def test_watching_looks_at_all_in_turn_and_holds_for_the_last():
    tasks = [Task(task_id=f"task_{number}", status="running") for number in range(3)]
    told: list[str] = []
    asked: list[tuple[str, int]] = []
    ends = {"task_1": 1, "task_2": 2, "task_0": 3}
    rounds = dict.fromkeys(ends, 0)
    flow = TaskPoller().watch(tasks)
    step: Any = next(flow)
    while True:
        sent = None
        if isinstance(step, Emit):
            told.append(step.value.id)
        elif isinstance(step, Call):
            name = step.path.removeprefix("/tasks/")
            asked.append((name, step.hold))
            rounds[name] += 1
            status = "completed" if rounds[name] == ends[name] else "running"
            sent = Reply(200, content=json.dumps({"task_id": name, "status": status}).encode())
        try:
            step = flow.send(sent)
        except StopIteration:
            break

    assert told == ["task_1", "task_2", "task_0"]
    assert asked == [(f"task_{n}", 0) for n in (0, 1, 2, 0, 2)] + [("task_0", 30)]


def test_watching_does_not_look_at_what_is_final():
    tasks = [Task(task_id="task_1", status="failed"), Task(task_id="task_2", status="completed")]
    assert list(TaskPoller().watch(tasks)) == [Emit(task) for task in tasks]


def test_watching_survives_a_look_that_fails_in_passing():
    flow = TaskPoller().watch([Task(task_id="task_1"), Task(task_id="task_2")])
    next(flow)
    assert flow.throw(ServerError("down", retryable=True)) == Call("GET", "/tasks/task_2")


def test_watching_ends_with_a_look_that_is_refused():
    flow = TaskPoller().watch([Task(task_id="task_1"), Task(task_id="task_2")])
    next(flow)
    with pytest.raises(AuthenticationError):
        flow.throw(AuthenticationError("no"))


def test_watching_out_of_time_names_a_task():
    flow = TaskPoller().watch([Task(task_id="task_1"), Task(task_id="task_2")])
    next(flow)
    with pytest.raises(TaskTimeoutError, match="task_1 is still pending after 3 s"):
        flow.throw(OutOfTime(3))


# Being watched


def emitted(flow: Generator[Any, Any, Any], *answers: Reply) -> list[tuple[str, float | None]]:
    """Status and progress of the tasks that the flow emits on the way to its end."""
    waiting, told = list(answers), []
    try:
        step = next(flow)
        while True:
            if isinstance(step, Emit):
                told.append((step.value.status, step.value.progress))
            step = flow.send(waiting.pop(0) if isinstance(step, Call) else None)
    except StopIteration:
        return told


def test_a_watched_task_is_told_at_first_and_when_it_has_changed():
    told = emitted(
        TaskPoller(watched=True).wait(Task(task_id="task_1", status="queued")),
        answer("queued"),
        answer("running", progress=0),
        answer("running", progress=40),
        answer("running", progress=40),
        answer("completed", progress=100),
    )
    assert told == [("queued", None), ("running", 0), ("running", 40), ("completed", 100)]


def test_no_progress_yet_is_no_change():
    told = emitted(TaskPoller(watched=True).settle(RUNNING), answer("running", progress=0), answer("failed"))
    assert told == [("running", None), ("failed", None)]


def test_nobody_watches_by_default():
    assert emitted(TaskPoller().wait(RUNNING), answer("running", progress=7), answer("completed")) == []


def test_a_watched_poll_is_held_for_a_second_so_that_changes_are_seen():
    flow = TaskPoller(watched=True).wait(RUNNING)
    next(flow)
    assert flow.send(None).hold == 1


def test_a_watched_task_whose_poll_fails_has_not_changed():
    flow = TaskPoller(watched=True).wait(RUNNING)
    next(flow)
    flow.send(None)
    assert isinstance(flow.throw(ServerError("down", retryable=True)), Sleep)


# Being cut short


def started(**options: Any) -> Any:
    """A wait that has asked for the task once."""
    flow = TaskPoller(**options).wait(RUNNING)
    next(flow)
    return flow


def test_a_task_may_be_cancelled_when_the_time_is_over():
    flow = started(on_timeout="cancel")
    assert flow.throw(OutOfTime(12)) == Grace(5.0)
    assert flow.send(None) == Call("POST", "/tasks/task_1/cancel")
    with pytest.raises(TaskTimeoutError) as raised:
        flow.send(answer("cancelled"))

    assert raised.value.message == (
        "Task task_1 is still running after 12 s. Task task_1 was asked to stop and is cancelled."
    )
    assert raised.value.task.status == "cancelled"


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (ConflictError("The task is completed.", status_code=409), "The task is completed"),
        (OutOfTime(5), "No answer within 5 s"),
        (RuntimeError("This client is closed."), "This client is closed"),
    ],
)
def test_a_cancel_that_fails_does_not_hide_why_it_was_wanted(failure: Exception, told: str):
    flow = started(on_timeout="cancel")
    flow.throw(OutOfTime(12))
    flow.send(None)
    with pytest.raises(TaskTimeoutError, match=f"after 12 s.*could not be cancelled: {told}") as raised:
        flow.throw(failure)
    assert raised.value.task.status == "running"


def test_a_task_goes_on_when_its_wait_is_interrupted(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "nexusai"), pytest.raises(KeyboardInterrupt) as raised:
        started().throw(KeyboardInterrupt())

    line = "Task task_1 goes on: client.tasks.wait('task_1') waits for it."
    assert caplog.messages == [line]
    if sys.version_info >= (3, 11):
        assert raised.value.__notes__ == [line]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_a_task_may_be_cancelled_when_its_wait_is_interrupted(
    interrupt: type[BaseException], caplog: pytest.LogCaptureFixture
):
    flow = started(on_interrupt="cancel")
    assert flow.throw(interrupt()) == Grace(5.0)
    assert flow.send(None) == Call("POST", "/tasks/task_1/cancel")
    with caplog.at_level(logging.INFO, "nexusai"), pytest.raises(interrupt):
        flow.send(answer("cancelled"))
    assert caplog.messages == ["Task task_1 was asked to stop and is cancelled."]


def test_a_second_interrupt_ends_the_cancelling_too():
    flow = started(on_interrupt="cancel")
    flow.throw(KeyboardInterrupt())
    flow.send(None)
    with pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())


def test_an_error_of_the_callers_own_leaves_the_task_alone():
    with pytest.raises(ZeroDivisionError):
        started(on_timeout="cancel", on_interrupt="cancel").throw(ZeroDivisionError())


def test_a_wait_that_is_thrown_away_does_nothing_more():
    flow = started(on_timeout="cancel", on_interrupt="cancel")
    flow.close()
    with pytest.raises(StopIteration):
        next(flow)


def test_all_that_is_unfinished_is_cancelled():
    tasks = [Task(task_id=f"task_{n}", status="running") for n in (1, 2, 3)]
    poller = TaskPoller(on_timeout="cancel")

    def work() -> Generator[Any, Any, None]:
        tasks[0] = yield from poller.complete(tasks[0])
        yield from poller.complete(tasks[1])

    flow = poller.attend(tasks, work())
    next(flow)
    flow.send(answer("completed"))
    flow.throw(OutOfTime(12))
    assert flow.send(None) == Call("POST", "/tasks/task_2/cancel")
    assert flow.throw(ServerError("down", retryable=True)) == Call("POST", "/tasks/task_3/cancel")
    with pytest.raises(TaskTimeoutError, match=r"task_2 could not be cancelled: down.*task_3 was asked to"):
        flow.send(Reply(200, content=b'{"task_id": "task_3", "status": "running"}'))


def test_what_was_submitted_is_cancelled_when_the_next_is_not_accepted_in_time():
    tasks = [RUNNING]
    poller = TaskPoller(on_timeout="cancel")
    flow = poller.attend(tasks, poller.submit({}))
    next(flow)
    assert flow.throw(OutOfTime(5)) == Grace(5.0)
    assert flow.send(None) == Call("POST", "/tasks/task_1/cancel")
    with pytest.raises(APITimeoutError, match=r"did not accept the task within 5 s\. Task task_1 was asked"):
        flow.send(answer("cancelled"))


def test_a_submission_that_is_interrupted_tells_its_key(caplog: pytest.LogCaptureFixture):
    flow = TaskPoller().submit({"input": {"prompt": "my secret"}})
    key = next(flow).idempotency_key
    with caplog.at_level(logging.INFO, "nexusai"), pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())
    assert caplog.messages == [
        f"The task may have been accepted: the same call with idempotency_key='{key}' makes no second one."
    ]

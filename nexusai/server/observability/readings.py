"""What the parts of the platform are at when Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from nexusai.server.catalogue import Catalogue
from nexusai.server.clock import now_ms
from nexusai.server.conversations.log import ConversationLog
from nexusai.server.observability.metrics import ModelLabel, Reading
from nexusai.server.tasks.service import TaskService
from nexusai.server.traffic import Traffic
from nexusai.server.usage.recorder import Recorder

__all__ = ["Readings"]

_STATES: Final = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


@dataclass(slots=True)
class Readings:
    traffic: Traffic
    tasks: TaskService
    catalogue: Catalogue
    recorder: Recorder
    conversations: ConversationLog
    model_label: ModelLabel
    lines_dropped: Callable[[], int] = field(default=lambda: 0)

    async def all(self) -> Sequence[Reading]:
        queued, running, oldest = await self.tasks.store.open_tasks()
        in_use, idle = self.catalogue.connections()
        age = max(0, now_ms() - oldest) / 1000 if oldest is not None else 0.0
        return [
            Reading("nexus_requests_under_way", self.traffic.under_way),
            Reading("nexus_tasks_open", queued, ("queued",)),
            Reading("nexus_tasks_open", running, ("running",)),
            Reading("nexus_oldest_queued_task_seconds", age),
            Reading("nexus_upstream_connections", in_use, ("in_use",)),
            Reading("nexus_upstream_connections", idle, ("idle",)),
            Reading("nexus_usage_rows_waiting", self.recorder.waiting),
            Reading("nexus_usage_rows_dropped", self.recorder.dropped),
            Reading("nexus_conversations_waiting", self.conversations.waiting),
            Reading("nexus_conversations_dropped", self.conversations.dropped),
            Reading("nexus_log_lines_dropped", self.lines_dropped()),
            *self._breakers(),
        ]

    def _breakers(self) -> Iterator[Reading]:
        """Models that are not known share one line, which is at the worst of their states."""
        worst: dict[tuple[str, str], float] = {}
        for provider in self.catalogue.providers():
            for model, state in provider.circuits().items():
                labels = provider.name, self.model_label(provider.name, model)
                worst[labels] = max(worst.get(labels, 0.0), _STATES[state])
        return (Reading("nexus_breaker_state", state, labels) for labels, state in worst.items())

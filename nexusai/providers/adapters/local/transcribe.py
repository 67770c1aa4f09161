"""`local/transcribe`: PocketSphinx in a child process. It knows English, and hears about every other word."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from nexusai.providers.child import Child
from nexusai.providers.errors import AdapterError, CapabilityError, ValidationError
from nexusai.providers.sound.program import ask
from nexusai.providers.types import Segment, TranscriptionRequest

__all__ = ["MODEL", "Heard", "Listener"]

MODEL: Final = "local/transcribe"


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said in a recording of `duration` seconds."""

    segments: list[Segment]
    duration: float

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)


class Listener:
    """One request's child process: `listen` in one thread, `stop` from any other, whenever."""

    def __init__(self, request: TranscriptionRequest) -> None:
        """Raises `ValidationError` for an empty recording, `CapabilityError` for another language."""
        self._audio = request.audio
        self._child = Child()
        if not request.audio:
            raise ValidationError(f"{MODEL}: the recording is empty", provider="local", model=MODEL)
        if request.language and request.language.lower().replace("_", "-").partition("-")[0] != "en":
            raise _lacking(
                f"knows English only, not {request.language[:20]!r}: configure a provider that hears it, "
                "with OPENAI_API_KEY or NEXUS_PROVIDER_BASE_URL"
            )
        if find_spec("pocketsphinx") is None:
            raise _lacking("hears with PocketSphinx: pip install 'nexusai[local]' or pocketsphinx")

    def listen(self) -> Heard:
        """Raises `AdapterError`s only."""
        try:
            told = ask(self._child, f"{__package__}._listen", data=self._audio)
        except AdapterError as error:
            error.provider, error.model = "local", MODEL
            raise
        return Heard([_segment(item) for item in told["segments"]], told["duration"])

    def stop(self) -> None:
        self._child.stop()


def _segment(item: list[Any]) -> Segment:
    start, end, text = item
    return Segment(round(start, 2), round(end, 2), text)


def _lacking(fact: str) -> CapabilityError:
    return CapabilityError(f"{MODEL} {fact}", provider="local", model=MODEL)

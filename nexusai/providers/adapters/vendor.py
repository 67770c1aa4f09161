"""What the code needs to know of a vendor, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nexusai.providers.types import Capability

__all__ = ["Vendor"]


@dataclass(frozen=True, slots=True)
class Vendor:
    """`key` is the environment variable of the API key; `models` the default for each capability.

    The fields after `sound_seconds` are differences among those that speak OpenAI's API.
    """

    base_url: str
    key: str
    models: Mapping[Capability, str]
    capabilities: frozenset[Capability]
    adapter: str = "openai_compatible"
    """The module beside this one that speaks the vendor's API."""
    features_by_model: bool = False
    """Whether what a chat may ask for (tools, pictures, …) differs by model, and the adapter refuses it."""
    key_required: bool = True
    """A vendor that needs none is switched on by its base URL."""
    key_aliases: Sequence[str] = ()
    """Other environment variables that the key may be in."""
    base_url_keys: Sequence[str] = ()
    """Environment variables that move the vendor elsewhere; see `moved_by`."""
    base_path: str = ""
    """What a base URL without a path is completed by."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What else the adapter wants to know (`ProviderConfig.options`): the environment variable of each."""
    model_keys: Mapping[Capability, str] = field(default_factory=dict)
    """Environment variables that name the default model of a capability."""

    sound_bytes: int = 25 * 1024 * 1024
    """The largest recording that is transcribed at once."""
    sound_seconds: Mapping[str, float] = field(default_factory=dict)
    """The longest one, by what a model's name has in it; `""` is in all."""

    completions: str | None = None
    """A regular expression of the models that still answer the old Completions API."""
    voice: str = "alloy"
    """Sent when the caller names no voice, because the API wants one."""
    renames: Mapping[str, str] = field(default_factory=dict)
    """Body fields that have another name here."""
    stream_options: bool = True
    """False where `stream_options` is refused; such a vendor sends usage unasked."""
    tool_stream: bool = False
    """Whether `tool_stream` has to be asked for, else the arguments of a call come in one piece."""
    fixed_sampling: str | None = None
    """A regular expression of the models that refuse a temperature and its likes."""
    thinking: Literal["effort", "switch", "budget"] = "effort"
    """How reasoning is asked for: by `reasoning_effort` alone, by `thinking: {"type": …}` and that, or by
    `enable_thinking` and a `thinking_budget` in tokens."""
    efforts: Mapping[str, str] = field(default_factory=dict)
    """What the vendor calls a `reasoning_effort` that it has not; `none` switches thinking off."""
    thoughts: Literal["reasoning_content", "reasoning_details"] | None = None
    """The field of an assistant's message in which the vendor wants its thoughts back."""
    json_schema: Literal["native", "prompt"] = "native"
    """`prompt` where there is only a JSON mode and no tool can be forced: the schema is told to the model."""
    picture_form: str | None = "b64_json"
    """`response_format` of image requests; None where pictures come as URLs only."""
    picture_size: Literal["size", "width and height", "aspect_ratio"] = "size"
    edits: Literal["form", "list", "fields"] = "form"
    """How pictures to edit are sent: as a form to `/images/edits`, or to where new ones are made as data URIs
    in a list `image`, or in the fields `image`, `image2` and so on."""
    segments: Mapping[str, Any] | None = field(default_factory=lambda: {"response_format": "verbose_json"})
    """What a transcription is asked with for times; None where there are none."""

    @property
    def keys(self) -> Sequence[str]:
        """The environment variables of the key, the first that is set wins."""
        return (self.key, *self.key_aliases)

    @property
    def moved_by(self) -> Sequence[str]:
        """The environment variables that move the vendor elsewhere (a region, a proxy), likewise."""
        return self.base_url_keys or (self.key.removesuffix("_API_KEY") + "_BASE_URL",)

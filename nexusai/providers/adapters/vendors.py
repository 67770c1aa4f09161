"""Vendors that speak OpenAI's API, as data: where they are, what they can do, where they differ.

Sources are the vendors' API references. Capabilities say what a vendor offers at all; a model may do less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from nexusai.providers.types import Capability

__all__ = ["VENDORS", "Vendor", "sizes_of", "vendors_with"]

_CHAT: Final[frozenset[Capability]] = frozenset({"chat", "stream", "tools"})
_FULL: Final[frozenset[Capability]] = _CHAT | {"vision", "json_schema", "reasoning"}


@dataclass(frozen=True, slots=True)
class Vendor:
    """`key` is the environment variable of the API key; `models` the default for each capability."""

    base_url: str
    key: str
    models: Mapping[Capability, str]
    capabilities: frozenset[Capability]
    key_required: bool = True
    voice: str = "alloy"
    """Sent when the caller names no voice, because the API wants one."""
    renames: Mapping[str, str] = field(default_factory=dict)
    """Body fields that have another name here."""
    stream_options: bool = True
    """False where `stream_options` is refused; such a vendor sends usage unasked."""
    picture_form: str | None = "b64_json"
    """`response_format` of image requests; None where pictures come as URLs only."""
    picture_size: Literal["size", "width and height"] = "size"

    @property
    def base_url_key(self) -> str:
        """The environment variable that moves the vendor elsewhere (a region, a proxy)."""
        return self.key.removesuffix("_API_KEY") + "_BASE_URL"


VENDORS: Final[Mapping[str, Vendor]] = {
    "openai_compatible": Vendor(
        "",
        "NEXUS_PROVIDER_API_KEY",
        {},
        _FULL | {"images", "speech"},
        key_required=False,
    ),
    "openai": Vendor(
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        {"chat": "gpt-4o-mini", "images": "gpt-image-1", "speech": "gpt-4o-mini-tts"},
        _FULL | {"images", "speech"},
    ),
    "deepseek": Vendor(
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        {"chat": "deepseek-chat"},
        _CHAT | {"reasoning"},
    ),
    "moonshot": Vendor(
        "https://api.moonshot.cn/v1",
        "MOONSHOT_API_KEY",
        {"chat": "moonshot-v1-auto"},
        _CHAT | {"vision", "reasoning"},
    ),
    "qwen": Vendor(
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        {"chat": "qwen-plus"},
        _FULL,
    ),
    "ark": Vendor(
        "https://ark.cn-beijing.volces.com/api/v3",
        "ARK_API_KEY",
        {"chat": "doubao-seed-1-6-250615", "images": "doubao-seedream-4-0-250828"},
        _FULL | {"images"},
    ),
    "siliconflow": Vendor(
        "https://api.siliconflow.cn/v1",
        "SILICONFLOW_API_KEY",
        {
            "chat": "Qwen/Qwen2.5-7B-Instruct",
            "images": "Kwai-Kolors/Kolors",
            "speech": "FunAudioLLM/CosyVoice2-0.5B",
        },
        _CHAT | {"vision", "reasoning", "images", "speech"},
        voice="FunAudioLLM/CosyVoice2-0.5B:alex",
        renames={"size": "image_size", "n": "batch_size"},
        picture_form=None,
    ),
    "openrouter": Vendor(
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        {"chat": "openrouter/auto"},
        _FULL,
    ),
    "xai": Vendor(
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        {"chat": "grok-4", "images": "grok-2-image"},
        _FULL | {"images"},
    ),
    "groq": Vendor(
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        {"chat": "llama-3.3-70b-versatile", "speech": "canopylabs/orpheus-v1-english"},
        _FULL | {"speech"},
        voice="troy",
    ),
    "mistral": Vendor(
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        {"chat": "mistral-small-latest"},
        _FULL,
        renames={"seed": "random_seed"},
        stream_options=False,
    ),
    "together": Vendor(
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        {
            "chat": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "images": "black-forest-labs/FLUX.1-schnell",
        },
        _FULL | {"images"},
        picture_form=None,
        picture_size="width and height",
    ),
    "fireworks": Vendor(
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        {"chat": "accounts/fireworks/models/llama-v3p3-70b-instruct"},
        _FULL,
    ),
}
"""In order of preference: a server that the user runs comes first."""


def vendors_with(capability: Capability) -> list[str]:
    """The names of the vendors that offer it, in table order."""
    return [name for name, vendor in VENDORS.items() if capability in vendor.capabilities]


def sizes_of(model: str) -> Sequence[tuple[int, int]]:
    """The only picture sizes that a model of OpenAI's takes; none where any will do."""
    return next((sizes for family, sizes in _PICTURE_SIZES.items() if family in model), ())


_PICTURE_SIZES: Mapping[str, Sequence[tuple[int, int]]] = {
    "gpt-image": ((1024, 1024), (1536, 1024), (1024, 1536)),
    "dall-e-3": ((1024, 1024), (1792, 1024), (1024, 1792)),
}

"""Vendors, as data: where they are, what they can do, where those that speak OpenAI's API differ.

Sources are the vendors' API references. Capabilities say what a vendor offers at all; a model may do less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nexusai.providers.adapters.vendor import Vendor
from nexusai.providers.types import Capability

__all__ = ["VENDORS", "is_reasoning", "sizes_of", "vendors_with"]

_CHAT: Final[frozenset[Capability]] = frozenset({"chat", "stream", "tools"})
_FULL: Final[frozenset[Capability]] = _CHAT | {"vision", "json_schema", "reasoning"}
_MEDIA: Final[frozenset[Capability]] = frozenset({"images", "image_edit", "speech", "transcription"})

_GLM: Final[Mapping[str, Any]] = {
    "models": {
        "chat": "glm-5.3-flash",
        "images": "cogview-4-250304",
        "speech": "glm-tts",
        "transcription": "glm-asr-2512",
        "embeddings": "embedding-3",
    },
    "capabilities": _FULL | {"images", "speech", "transcription", "embeddings"},
    "voice": "tongtong",
    "stream_options": False,
    "tool_stream": True,
    "thinking": "switch",
    "efforts": {"minimal": "low", "medium": "high"},
    "thoughts": "reasoning_content",
    "json_schema": "prompt",
    "picture_form": None,
    "segments": None,
    "sound_seconds": {"": 30.0},
}

VENDORS: Final[Mapping[str, Vendor]] = {
    "openai_compatible": Vendor(
        "",
        "NEXUS_PROVIDER_API_KEY",
        {},
        _FULL | _MEDIA | {"embeddings", "moderation"},
        key_required=False,
        base_url_keys=("NEXUS_PROVIDER_BASE_URL",),
        model_keys={
            "chat": "NEXUS_PROVIDER_MODEL",
            "images": "NEXUS_PROVIDER_IMAGE_MODEL",
            "speech": "NEXUS_PROVIDER_SPEECH_MODEL",
            "transcription": "NEXUS_PROVIDER_TRANSCRIPTION_MODEL",
            "embeddings": "NEXUS_PROVIDER_EMBEDDING_MODEL",
        },
        completions=".",
    ),
    "ollama": Vendor(
        "http://localhost:11434/v1",
        "OLLAMA_API_KEY",
        {},
        _FULL | {"embeddings"},
        key_required=False,
        base_url_keys=("OLLAMA_BASE_URL", "OLLAMA_HOST"),
        base_path="/v1",
        model_keys={"chat": "OLLAMA_MODEL", "embeddings": "OLLAMA_EMBEDDING_MODEL"},
        completions=".",
    ),
    "vllm": Vendor(
        "http://localhost:8000/v1",
        "VLLM_API_KEY",
        {},
        _FULL | {"transcription", "embeddings"},
        key_required=False,
        base_path="/v1",
        model_keys={"chat": "VLLM_MODEL", "embeddings": "VLLM_EMBEDDING_MODEL"},
        completions=".",
    ),
    "lmstudio": Vendor(
        "http://localhost:1234/v1",
        "LMSTUDIO_API_KEY",
        {},
        _FULL | {"embeddings"},
        key_required=False,
        base_path="/v1",
        model_keys={"chat": "LMSTUDIO_MODEL", "embeddings": "LMSTUDIO_EMBEDDING_MODEL"},
        completions=".",
    ),
    "openai": Vendor(
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        {
            "chat": "gpt-6-luna",
            "images": "gpt-image-2.5-flare",
            "speech": "gpt-4o-mini-tts",
            "transcription": "whisper-1",
            "embeddings": "text-embedding-3-small",
            "moderation": "omni-moderation-latest",
        },
        _FULL | _MEDIA | {"embeddings", "moderation"},
        adapter="openai",
        options={"api": "OPENAI_CHAT_API"},
        sound_seconds={"gpt-4o": 1400.0},
        completions=r"-instruct|^(?:davinci|babbage)-",
    ),
    "anthropic": Vendor(
        "https://api.anthropic.com",
        "ANTHROPIC_API_KEY",
        {"chat": "claude-sonnet-5-5"},
        _FULL,
        adapter="anthropic",
    ),
    "gemini": Vendor(
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY",
        {
            "chat": "gemini-3.8-flash",
            "images": "gemini-3.1-flash-image",
            "speech": "gemini-3.8-flash-tts",
            "embeddings": "gemini-embedding-001",
        },
        _FULL | {"images", "image_edit", "speech", "embeddings"},
        adapter="gemini",
        key_aliases=("GOOGLE_API_KEY",),
        base_url_keys=("GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
        base_path="/v1beta",
    ),
    "azure": Vendor(
        "",
        "AZURE_OPENAI_API_KEY",
        {},
        _FULL | _MEDIA | {"embeddings"},
        adapter="azure",
        base_url_keys=("AZURE_OPENAI_ENDPOINT",),
        options={"api_version": "AZURE_OPENAI_API_VERSION"},
        model_keys={"chat": "AZURE_OPENAI_DEPLOYMENT"},
    ),
    "zhipu": Vendor("https://open.bigmodel.cn/api/paas/v4", "ZHIPUAI_API_KEY", **_GLM),
    "zai": Vendor("https://api.z.ai/api/paas/v4", "ZAI_API_KEY", **_GLM),
    "coze": Vendor(
        "https://api.coze.com",
        "COZE_API_TOKEN",
        {},
        frozenset({"chat", "stream", "vision", "reasoning"}),
        adapter="coze",
        base_url_keys=("COZE_BASE_URL", "COZE_API_BASE"),
        options={"bot_id": "COZE_BOT_ID"},
        model_keys={"chat": "COZE_BOT_ID"},
    ),
    "deepseek": Vendor(
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        {"chat": "deepseek-flash"},
        _FULL,
        thinking="switch",
        thoughts="reasoning_content",
        json_schema="prompt",
    ),
    "moonshot": Vendor(
        "https://api.moonshot.cn/v1",
        "MOONSHOT_API_KEY",
        {"chat": "kimi-k2.6"},
        _FULL,
        fixed_sampling="^kimi-",
        efforts={"minimal": "low", "medium": "high"},
        thoughts="reasoning_content",
    ),
    "qwen": Vendor(
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        {"chat": "qwen-plus", "embeddings": "text-embedding-v4"},
        _FULL | {"embeddings"},
        thinking="budget",
    ),
    "ark": Vendor(
        "https://ark.cn-beijing.volces.com/api/v3",
        "ARK_API_KEY",
        {
            "chat": "doubao-seed-2-1-turbo-260628",
            "images": "doubao-seedream-4-5-251128",
            "embeddings": "doubao-embedding-large-text-250515",
        },
        _FULL | {"images", "image_edit", "embeddings"},
        thinking="switch",
        efforts={"minimal": "none"},
        edits="list",
    ),
    "siliconflow": Vendor(
        "https://api.siliconflow.cn/v1",
        "SILICONFLOW_API_KEY",
        {
            "chat": "deepseek-ai/DeepSeek-V4-Flash",
            "images": "Kwai-Kolors/Kolors",
            "image_edit": "Qwen/Qwen-Image-Edit-2509",
            "speech": "FunAudioLLM/CosyVoice2-0.5B",
            "transcription": "FunAudioLLM/SenseVoiceSmall",
            "embeddings": "BAAI/bge-m3",
        },
        _FULL | _MEDIA | {"embeddings"},
        voice="FunAudioLLM/CosyVoice2-0.5B:alex",
        renames={"size": "image_size", "n": "batch_size"},
        thinking="budget",
        json_schema="prompt",
        picture_form=None,
        edits="fields",
        segments=None,
        sound_bytes=50 * 1024 * 1024,
        sound_seconds={"": 3600.0},
    ),
    "openrouter": Vendor(
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        {"chat": "openrouter/auto", "embeddings": "openai/text-embedding-3-small"},
        _FULL | {"embeddings"},
        thoughts="reasoning_details",
    ),
    "xai": Vendor(
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        {"chat": "grok-4.3", "images": "grok-imagine-image-2.0"},
        _FULL | {"images"},
        picture_size="aspect_ratio",
    ),
    "groq": Vendor(
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        {
            "chat": "openai/gpt-oss-120b",
            "speech": "canopylabs/orpheus-v1-english",
            "transcription": "whisper-large-v3-turbo",
        },
        _FULL | {"speech", "transcription"},
        voice="troy",
    ),
    "mistral": Vendor(
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        {
            "chat": "mistral-small-latest",
            "transcription": "voxtral-mini-latest",
            "embeddings": "mistral-embed",
            "moderation": "mistral-moderation-2603",
        },
        _FULL | {"transcription", "embeddings", "moderation"},
        renames={"seed": "random_seed"},
        stream_options=False,
        segments={"timestamp_granularities": ["segment"]},
    ),
    "together": Vendor(
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        {
            "chat": "openai/gpt-oss-120b",
            "images": "black-forest-labs/FLUX.1-schnell",
            "speech": "hexgrad/Kokoro-82M",
            "transcription": "openai/whisper-large-v3",
            "embeddings": "intfloat/multilingual-e5-large-instruct",
        },
        _FULL | {"images", "speech", "transcription", "embeddings"},
        voice="af_heart",
        picture_form=None,
        picture_size="width and height",
        completions=".",
    ),
    "fireworks": Vendor(
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        {
            "chat": "accounts/fireworks/models/deepseek-v4p1-flash",
            "embeddings": "nomic-ai/nomic-embed-text-v1.5",
        },
        _FULL | {"embeddings"},
        completions=".",
    ),
}
"""In order of preference: a server that the user runs comes first."""


def vendors_with(capability: Capability) -> list[str]:
    """The names of the vendors that offer it, in table order."""
    return [name for name, vendor in VENDORS.items() if capability in vendor.capabilities]


def sizes_of(model: str) -> Sequence[tuple[int, int]]:
    """The only picture sizes that a model takes; none where any will do."""
    return next((sizes for family, sizes in _PICTURE_SIZES.items() if family in model), ())


def is_reasoning(model: str) -> bool:
    """Whether a model of OpenAI's reasons, by its name."""
    return bool(_REASONING.search(model))


_PICTURE_SIZES: Final[Mapping[str, Sequence[tuple[int, int]]]] = {
    "gpt-image-1": ((1024, 1024), (1536, 1024), (1024, 1536)),
    "dall-e-3": ((1024, 1024), (1792, 1024), (1024, 1792)),
    "seedream": ((2048, 2048), (2560, 1440), (1440, 2560), (2304, 1728), (1728, 2304), (3024, 1296)),
}
_REASONING: Final = re.compile(
    r"(?:^|/)(?:o\d|gpt-[5-9](?!.*-chat)|codex|computer-use|gpt-(?:daybreak|rosalind))"
)

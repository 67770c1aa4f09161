"""What the pages of the vendors that speak OpenAI's API say besides their data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Note(NamedTuple):
    """What the data of a vendor does not say."""

    title: str
    intro: str
    reference: str = ""
    notes: tuple[str, ...] = ()


NOTES: Mapping[str, Note] = {
    "openai_compatible": Note(
        "Any server that speaks OpenAI's API",
        "A gateway such as one-api or LiteLLM, a server of your own, a vendor that is not listed here.",
        "",
        (
            "What it can do is not known: everything is tried, and what it lacks is its own error.",
            "A vendor's differences can be had under another address too: "
            '`Client("deepseek", base_url="https://gateway.example/v1")`.',
        ),
    ),
    "ollama": Note(
        "Ollama",
        "Models on your own machine. `OLLAMA_HOST` is understood as Ollama itself understands it.",
        "https://docs.ollama.com/api/openai-compatibility",
        ("A model has to be pulled first, and there is no default one: name it, or set `OLLAMA_MODEL`.",),
    ),
    "vllm": Note(
        "vLLM",
        "vLLM's server, started with `vllm serve`.",
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",
        (
            "Tools need `--enable-auto-tool-choice` and a parser, reasoning a `--reasoning-parser`, both "
            "chosen when the server is started.",
            "`VLLM_API_KEY` is for a server that was started with `--api-key`.",
        ),
    ),
    "lmstudio": Note(
        "LM Studio",
        "LM Studio's local server.",
        "https://lmstudio.ai/docs/developer/openai-compat",
        ("A model is loaded when it is first asked for; it is named as in LM Studio.",),
    ),
    "azure": Note(
        "Azure OpenAI",
        "OpenAI's models in a resource of your own at Microsoft. A model is named as its deployment is.",
        "https://learn.microsoft.com/azure/ai-foundry/openai/reference",
        (
            "Without `AZURE_OPENAI_API_VERSION` (the option `api_version`) requests go to the v1 API, "
            "`/openai/v1`, which needs none; with a date, `2024-10-21` say, to "
            "`/openai/deployments/<deployment>`. `preview` is the v1 API with what is not finished.",
            "The key goes in the header `api-key`.",
            "A deployment of a reasoning model should be named after it (`o4-mini`, `gpt-5.4-mini`): the "
            "name tells that it takes `max_completion_tokens` and no temperature.",
            "Prompts that the content filter refuses raise `ContentFilterError`; answers that it cuts have "
            "the finish reason `content_filter`.",
        ),
    ),
    "zhipu": Note(
        "Zhipu (GLM)",
        "The open platform bigmodel.cn. The international platform, z.ai, is the provider `zai`.",
        "https://docs.bigmodel.cn/cn/api/introduction",
        (
            "Zhipu's codes say what is wrong, whatever the status: 1301 is `ContentFilterError`, 1261 "
            "`ContextWindowError`, 1302 to 1313 are `RateLimitError`s, 111x and 112x (the account) "
            "`AuthenticationError`s. 1113 (no money) and the limits of a day, week or month are not retried.",
            "The finish reason `sensitive` is `content_filter`, and `network_error` a `RetryableError`.",
            "`tool_choice` can only be `auto`.",
            "Sound to be written down may last 30 seconds.",
        ),
    ),
    "zai": Note(
        "Z.ai (GLM)",
        "The international platform of Zhipu; all else is as on the [page of Zhipu](zhipu.md).",
        "https://docs.z.ai/api-reference/introduction",
    ),
    "deepseek": Note(
        "DeepSeek",
        "",
        "https://api-docs.deepseek.com",
        (
            "Models think unless `reasoning_effort` is `none`, and while they think no tool can be forced: "
            "`tool_choice` is `auto` or `none`.",
        ),
    ),
    "moonshot": Note(
        "Moonshot (Kimi)",
        "For the international platform set `MOONSHOT_BASE_URL` to `https://api.moonshot.ai/v1`.",
        "https://platform.kimi.ai/docs",
        (
            "Kimi K3 takes a `reasoning_effort`. Kimi K2.6 has a switch instead: "
            '`extra={"thinking": {"type": "disabled"}}`.',
        ),
    ),
    "qwen": Note(
        "Qwen (DashScope)",
        "Alibaba Cloud's Model Studio. For Singapore set `DASHSCOPE_BASE_URL` to "
        "`https://dashscope-intl.aliyuncs.com/compatible-mode/v1`.",
        "https://help.aliyun.com/en/model-studio/deep-thinking",
        ("JSON schemas are kept by newer models (Qwen 3.7 and later); the others refuse them.",),
    ),
    "ark": Note(
        "Doubao (Volcengine Ark)",
        "A model is its name with the date of its edition, or the id of an endpoint (`ep-…`).",
        "https://www.volcengine.com/docs/82379/1541523",
        ("Pictures of Seedream have at least four megapixels: an aspect ratio is one of its own sizes.",),
    ),
    "siliconflow": Note(
        "SiliconFlow",
        "For the international platform set `SILICONFLOW_BASE_URL` to `https://api.siliconflow.com/v1`.",
        "https://docs.siliconflow.cn/docs/api/chat-completions-post",
        ("A picture is changed from up to three.",),
    ),
    "openrouter": Note(
        "OpenRouter",
        "Models of many vendors, named `vendor/model`.",
        "https://openrouter.ai/docs/api-reference/overview",
    ),
    "xai": Note("xAI (Grok)", "", "https://docs.x.ai/docs/api-reference"),
    "groq": Note(
        "Groq",
        "",
        "https://console.groq.com/docs/api-reference",
        ("JSON schemas are kept by some models alone, gpt-oss among them.",),
    ),
    "mistral": Note(
        "Mistral",
        "",
        "https://docs.mistral.ai/api",
        ("Moderation has no verdict of its own: a text is flagged when one of its categories is.",),
    ),
    "together": Note("Together AI", "", "https://docs.together.ai/reference/chat-completions-1"),
    "fireworks": Note(
        "Fireworks AI",
        "Models are named `accounts/fireworks/models/…`.",
        "https://docs.fireworks.ai/api-reference/post-chatcompletions",
    ),
}
OTHERS = {"openai": "OpenAI", "anthropic": "Anthropic", "gemini": "Gemini", "coze": "Coze", "local": "Local"}
"""Vendors whose pages are written by hand, where they have one."""

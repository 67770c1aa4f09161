"""Writes `docs/providers/README.md` and the pages of the vendors that speak OpenAI's API, from their data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import fill

from provider_notes import NOTES, OTHERS

from nexusai.providers.adapters.local import VENDOR as LOCAL
from nexusai.providers.adapters.openai_compatible import THINKING_TOKENS
from nexusai.providers.adapters.vendor import Vendor
from nexusai.providers.adapters.vendors import VENDORS

FOLDER = Path(__file__).parents[1] / "docs" / "providers"
ALL: Mapping[str, Vendor] = {**VENDORS, "local": LOCAL}

WORDS = {
    "chat": "chat",
    "stream": "streams",
    "tools": "tools",
    "vision": "vision",
    "json_schema": "JSON schemas",
    "reasoning": "reasoning",
    "images": "images",
    "image_edit": "image edits",
    "speech": "speech",
    "transcription": "transcription",
    "embeddings": "embeddings",
    "moderation": "moderation",
}
"""The capabilities as documents name them, in the order of the table."""


def pages() -> dict[str, str]:
    """Every page that is made here, by its file name."""
    made = {f"{name}.md": page(name) for name in NOTES}
    return {"README.md": readme(), **made}


def readme() -> str:
    """The page as it is, with its tables made again."""
    text = (FOLDER / "README.md").read_text("utf-8")
    for name, made in (("capabilities", table()), ("models", models())):
        start, end = f"<!-- {name}, made by scripts/provider_docs.py -->\n", f"\n<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = before + start + made + end + rest.partition(end)[2]
    return text


def page(name: str) -> str:
    vendor, note = VENDORS[name], NOTES[name]
    model = f'model="{vendor.models["chat"]}", ' if "chat" in vendor.models else ""
    parts = [
        f"# {note.title}",
        "<!-- Made by scripts/provider_docs.py: change that, then run `make docs`. -->",
        wrapped(note.intro),
        "\n".join(["| | |", "|---|---|", *(f"| {title} | {fact} |" for title, fact in facts(name))]),
        "<!-- not run: it needs the provider -->\n```python\nfrom nexusai.providers import Client\n\n"
        f'client = Client("{name}")  # what the environment says\n'
        f'print(client.chat({model}messages="你好").content)\n```',
        "\n".join(wrapped(f"- {quirk}") for quirk in (*quirks(vendor), *note.notes)),
        f"Reference: <{note.reference}>" if note.reference else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def facts(name: str) -> Iterator[tuple[str, str]]:
    vendor = VENDORS[name]
    yield "Provider", f"`{name}`"
    yield "Key", either(vendor.keys) + ("" if vendor.key_required else ", where one is wanted")
    moved = either(vendor.moved_by)
    if not vendor.base_url:
        yield "Base URL", f"{moved}; it has to be set"
    elif vendor.key_required:
        yield "Base URL", f"`{vendor.base_url}`; {moved} moves it"
    else:
        yield "Base URL", f"{moved} switches it on; `{vendor.base_url}` when only its name is given"
    if vendor.models:
        yield "Default models", ", ".join(f"{WORDS[use]} `{model}`" for use, model in vendor.models.items())
    if vendor.model_keys:
        named = ", ".join(f"{WORDS[use]} `{key}`" for use, key in vendor.model_keys.items())
        yield "Variables for default models", named
    yield "Can", ", ".join(word for use, word in WORDS.items() if use in vendor.capabilities)
    if missing := [word for use, word in WORDS.items() if use not in vendor.capabilities]:
        yield "Cannot", ", ".join(missing)


def quirks(vendor: Vendor) -> Iterator[str]:
    """What the adapter does otherwise for this vendor, told from its data."""
    if vendor.json_schema == "prompt":
        yield "There is a JSON mode and no JSON schemas: a schema is told to the model in a system message."
    if vendor.thinking == "switch":
        yield "`reasoning_effort` turns `thinking` on, and `none` turns it off."
    if vendor.thinking == "budget":
        budgets = ", ".join(f"`{effort}` {tokens}" for effort, tokens in THINKING_TOKENS.items())
        yield (
            f"`reasoning_effort` is `enable_thinking` and a `thinking_budget`: {budgets} tokens; above these "
            "there is none, and `none` turns thinking off."
        )
    if vendor.efforts:
        told = ", ".join(f"`{ours}` is `{theirs}`" for ours, theirs in vendor.efforts.items())
        yield f"Of the values of `reasoning_effort`, {told} here."
    if vendor.thoughts:
        yield (
            f"Thoughts are wanted back, in `{vendor.thoughts}`: go on with `answer.message`, or with the "
            "`reasoning_blocks` of a stream's last chunk."
        )
    if vendor.fixed_sampling:
        yield f"Models that match `{vendor.fixed_sampling}` refuse a temperature and its likes: none is sent."
    if vendor.tool_stream:
        yield "`tool_stream` is asked for, so that the arguments of calls come in pieces."
    if not vendor.stream_options:
        yield "`stream_options` is not sent: usage comes unasked."
    yield from (f"`{ours}` is sent as `{theirs}`." for ours, theirs in vendor.renames.items())
    if "images" in vendor.capabilities:
        yield from picture_quirks(vendor)
    if "speech" in vendor.capabilities and vendor.voice != "alloy":
        yield f"The voice is `{vendor.voice}` where none is named."
    if "transcription" in vendor.capabilities and vendor.segments is None:
        yield "A transcription has no times."


def picture_quirks(vendor: Vendor) -> Iterator[str]:
    if vendor.picture_form is None:
        yield "Pictures come as links, which are fetched at once, without the key."
    if vendor.picture_size != "size":
        yield f"The size of a picture is sent as {vendor.picture_size}."
    if vendor.edits != "form" and "image_edit" in vendor.capabilities:
        yield "Pictures to be changed go to where new ones are made, and there is no mask."


def either(variables: Iterable[str]) -> str:
    return " or ".join(f"`{name}`" for name in variables)


def wrapped(text: str) -> str:
    return fill(text, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def titled(name: str) -> str:
    """Its title, as a link where it has a page."""
    title = NOTES[name].title if name in NOTES else OTHERS[name]
    return f"[{title}]({name}.md)" if name in NOTES or (FOLDER / f"{name}.md").exists() else title


def table() -> str:
    uses = [use for use in WORDS if use != "stream"]
    rows = [f"| Provider | | {' | '.join(WORDS[use] for use in uses)} |", "|---|---|" + ":-:|" * len(uses)]
    for name, vendor in ALL.items():
        marks = ("✓" if use in vendor.capabilities else "" for use in uses)
        rows.append(f"| {titled(name)} | `{name}` | {' | '.join(marks)} |")
    return "\n".join(rows)


def models() -> str:
    rows = ["| | switched on by | default models |", "|---|---|---|"]
    for name, vendor in VENDORS.items():
        switch = either(vendor.keys if vendor.key_required else vendor.moved_by)
        if vendor.key_required and not vendor.base_url:
            switch += f" and {either(vendor.moved_by)}"
        named = [f"{WORDS[use]} `{model}`" for use, model in vendor.models.items()]
        named += [f"{WORDS[use]} by `{key}`" for use, key in vendor.model_keys.items()]
        rows.append(f"| `{name}` | {switch} | {', '.join(named)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    for file, text in pages().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
    print(f"{len(pages())} pages are written to {FOLDER}.")

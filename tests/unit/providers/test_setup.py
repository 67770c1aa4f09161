from __future__ import annotations

from pathlib import Path

import pytest

from nexusai.error import ConfigurationError
from nexusai.providers.reliability.limiter import RateLimit
from nexusai.providers.reliability.router import Deployment, Route
from nexusai.providers.setup import Setup, load_setup

GOOD = """
providers:
  eu:
    provider: openai
    api_key: ${EU_KEY}
  ollama:
    base_url: http://gpu:11434
  groq: off
aliases:
  fast: ollama/qwen3
routes:
  smart:
    deployments:
      - {model: eu/gpt-4o, weight: 3}
      - openai/gpt-4o
    fallbacks: [cheap, fast, local/text]
    on: [context_window, content_filter]
  cheap: [fast]
models:
  ollama/qwen3: {context_window: 32000, lacks: [vision]}
prices:
  ollama/qwen3: {input: 0.5, output: 1, currency: EUR, tiers: {1000: {input: 1}}}
limits:
  eu: {requests_per_minute: 500, tokens_per_minute: 1e6}
  openai/gpt-4o: {requests_per_minute: "${RPM}", max_wait: 0}
settings:
  log_level: info
"""
ENVIRON = {"EU_KEY": "sk-europe", "OPENAI_API_KEY": "sk-world", "GROQ_API_KEY": "gsk-1", "RPM": "60"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "nexus.yaml"


def setup(file: Path, text: str, environ: dict[str, str] = ENVIRON) -> Setup:
    file.write_text(text)
    return load_setup(file, environ)


def wrong(file: Path, text: str | bytes, environ: dict[str, str] = ENVIRON) -> list[str]:
    """What is told of a wrong file, without its name."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as failure:
        load_setup(file, environ)
    return [line.removeprefix(f"{file}:") for line in str(failure.value).splitlines()]


def test_without_a_file_the_environment_says_it_and_local_is_there():
    found = load_setup(None, {"OPENAI_API_KEY": "sk-1"})
    assert list(found.providers) == ["openai", "local"]
    assert found.key_sources == {"openai": "OPENAI_API_KEY", "local": "none"}


def test_a_file_comes_before_the_environment_which_adds_to_it(file: Path):
    assert list(setup(file, GOOD).providers) == ["eu", "ollama", "openai", "local"]


def test_a_file_switches_off_what_the_environment_would_switch_on(file: Path):
    found = setup(file, GOOD)
    assert (found.off, "groq" in found.providers) == (["groq"], False)


def test_it_is_told_where_a_key_comes_from(file: Path):
    text = "providers:\n  eu: {provider: openai, api_key: 'sk-${A}'}\n  groq: {api_key: gsk}\n  mistral:\n"
    found = setup(file, text, {"A": "1", "MISTRAL_API_KEY": "m"})
    assert found.key_sources == {"eu": "A", "groq": "the file", "mistral": "MISTRAL_API_KEY", "local": "none"}


def test_aliases_routes_and_limits_are_as_the_file_says(file: Path):
    found = setup(file, GOOD)
    fast = Deployment("ollama", "qwen3")
    assert found.aliases == {"fast": fast}
    smart = found.named_routes["smart"]
    assert smart == Route(
        "smart",
        [Deployment("eu", "gpt-4o", 3.0), Deployment("openai", "gpt-4o")],
        ["cheap", "ollama/qwen3", "local/text"],
        ["context_window", "content_filter"],
    )
    assert set(found.named_routes) == {"smart", "cheap"}
    assert found.reach(smart)[2:] == [fast, Deployment("local", "text")]
    assert found.limits == {
        "eu": RateLimit(500, 1_000_000),
        "openai/gpt-4o": RateLimit(60, max_wait=0.0),
    }


def test_models_and_prices_lie_over_the_built_in_table(file: Path):
    found = setup(file, GOOD).models.find("ollama", "qwen3")
    assert found is not None
    assert (found.model.context_window, found.model.lacks) == (32000, frozenset({"vision"}))
    price = found.model.price
    assert price is not None
    assert (price.currency, price.input, price.for_prompt(2000).input) == ("EUR", 0.5, 1)


def test_a_vendor_under_another_name_has_its_models_and_prices(file: Path):
    models = setup(file, GOOD).models
    known, here = models.find("openai", "gpt-4o"), models.find("eu", "gpt-4o")
    assert known is not None
    assert here is not None
    assert (here.model.price, here.model.provider) == (known.model.price, "eu")


def test_on_is_a_key_as_any_other(file: Path):
    text = "routes:\n  a:\n    deployments: [local/text]\n    on: [context_window]\n"
    assert setup(file, text).named_routes["a"].on == ["context_window"]


def test_what_was_settings_is_handed_on(file: Path):
    assert setup(file, GOOD).settings == {"log_level": "info"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "providers:\n", "\ufeff"])
def test_an_empty_file_says_nothing(file: Path, text: str):
    assert list(setup(file, text, {}).providers) == ["local"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("provider:\n", "1:1: provider: no such section; did you mean 'providers'?"),
        ("aliases: [a]\n", "1:1: aliases: must be a mapping of names to settings"),
        ("[a]\n", "1:1: must be a mapping with `providers`"),
        ("providers:\n  opnai:\n", "2:3: providers.opnai.provider: unknown provider 'opnai' (did you mean"),
        (
            "providers:\n  x: {provider: openai, api_ky: k}\n",
            "2:25: providers.x.api_ky: no such setting; did",
        ),
        (
            "providers:\n  mistral:\n",
            "2:3: providers.mistral: provider 'mistral' needs api_key: pass it, or set",
        ),
        (
            "providers:\n  route: {provider: openai}\n",
            "2:3: providers.route: cannot be the name of a provider",
        ),
        ("providers:\n  a/b: {provider: openai}\n", "2:3: providers.a/b: cannot be the name of a provider"),
        ("providers:\n  local: off\n", "2:3: providers.local: cannot be switched off"),
        ("providers:\n  openai: yes\n", "2:3: providers.openai: must be a mapping of settings"),
        (
            "providers:\n  openai:\n    api_key: ${NOPE}\n",
            "3:5: providers.openai.api_key: names the variable NOPE, which",
        ),
        (
            "providers:\n  openai:\n    api_key: ${NO-PE}\n",
            "3:5: providers.openai.api_key: names a variable in a way that",
        ),
        ("aliases:\n  fast: opena/gpt-4o\n", "2:3: aliases.fast: no such provider; did you mean 'openai'?"),
        ("aliases:\n  fast: gpt-4o\n", "2:3: aliases.fast: must be provider/model"),
        (
            "aliases:\n  a: r\nroutes:\n  r: [local/text]\n",
            "2:3: aliases.a: must be provider/model: a route cannot",
        ),
        ("aliases:\n  fast: [a]\n", "2:3: aliases.fast: must be a text that is not empty"),
        ("aliases:\n  local: openai/gpt-4o\n", "2:3: aliases.local: is the name of a provider: take another"),
        ("aliases:\n  a b: openai/gpt-4o\n", "2:3: aliases.a b: must be a name of letters, digits and"),
        (
            "aliases:\n  a: local/text\nroutes:\n  a: [local/text]\n",
            "4:3: routes.a: is the name of an alias too",
        ),
        ("routes:\n  a: []\n", "2:3: routes.a: has no deployments: add one"),
        ("routes:\n  a: local/text\n", "2:3: routes.a: must be a list: [one, another]"),
        (
            "routes:\n  a:\n    deployment: [local/text]\n",
            "3:5: routes.a.deployment: no such setting; did you mean",
        ),
        (
            "routes:\n  a:\n    deployments:\n      - x/y\n",
            "4:9: routes.a.deployments.0: no such provider; there are",
        ),
        (
            "routes:\n  a:\n    deployments: [{model: local/text, weight: 0}]\n",
            "3:39: routes.a.deployments.0.weight: must be a number above 0",
        ),
        (
            "routes:\n  a:\n    deployments: [{weight: 1}]\n",
            "3:19: routes.a.deployments.0: has no model: name it",
        ),
        (
            "routes:\n  a: [local/text]\n  ab:\n    deployments: [local/text]\n    fallbacks: [abb]\n",
            "5:17: routes.ab.fallbacks.0: no such route; did you mean 'ab'?",
        ),
        (
            "routes:\n  a:\n    deployments: [local/text]\n    fallbacks: [a]\n",
            "4:17: routes.a.fallbacks.0: is the",
        ),
        (
            "routes:\n  a:\n    deployments: [local/text]\n    on: [timeout]\n",
            "4:10: routes.a.on.0: no such reason; there are context_window, content_filter",
        ),
        (
            "models:\n  openai/x: {context: 5}\n",
            "2:14: models.openai/x.context: no such setting; did you mean",
        ),
        ("models:\n  openai/x: {lacks: [sight]}\n", "2:22: models.openai/x.lacks.0: no such capability"),
        ("models:\n  x/y: {context_window: 5}\n", "2:3: models.x/y: no such provider"),
        ("prices:\n  openai/x: {input: free}\n", "2:14: prices.openai/x.input: must be a number, 0 or more"),
        ("prices:\n  openai/x: {input: -1}\n", "2:14: prices.openai/x.input: must be a number, 0 or more"),
        ("prices:\n  openai/x: {currency: $}\n", "2:14: prices.openai/x.currency: must be the three letters"),
        (
            "prices:\n  openai/x: {tiers: {big: {}}}\n",
            "2:22: prices.openai/x.tiers.big: must be a whole number",
        ),
        ("limits:\n  openai: {rpm: 5}\n", "2:12: limits.openai.rpm: no such setting; there are requests_per"),
        (
            "limits:\n  openai: {requests_per_minute: 0}\n",
            "2:12: limits.openai.requests_per_minute: must be a whole",
        ),
        ("limits:\n  opena: {requests_per_minute: 1}\n", "2:3: limits.opena: no such provider; did you mean"),
        (
            "limits:\n  groq: {requests_per_minute: 1}\nproviders: {groq: off}\n",
            "2:3: limits.groq: no such provider",
        ),
    ],
)
def test_a_wrong_setting_is_told_with_its_place_and_the_fix(file: Path, text: str, message: str):
    told = wrong(file, text)
    assert len(told) == 1
    assert told[0].startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nproviders: {}\na: 2\n", "3:1: a: is there twice, first in line 1: keep one of them"),
        ("a: &x 1\n", "1:4: anchors (&) and aliases (*) are not taken"),
        ("a: *x\n", "1:4: anchors (&) and aliases (*) are not taken"),
        ("a: !!python/object:os.system x\n", "1:1: a: has a tag (!): leave it out"),
        ("a: !!int sk-secret\n", "1:1: a: has a tag (!): leave it out"),
        ("providers:\n\topenai:\n", "2:1: is no YAML: a tab; indent with spaces"),
        (b"a: 1\nb: \xff\xfe\n", "2: is no UTF-8: save the file in that encoding"),
        ("a: 1\nb: \x01\n", "2: a character that no YAML file may have"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document (---) begins: there may be one"),
        ("[" * 5000, " is nested too deeply"),
        ("a: [1\n", "2:1: is no YAML"),
        ("? [a]\n: 1\n", "1:1: has a key that is no text"),
        ("#" * 1_100_000, " is larger than 1024 KiB"),
    ],
)
def test_what_is_no_proper_yaml_is_told_with_its_line(file: Path, text: str | bytes, message: str):
    assert wrong(file, text)[0].startswith(message)


def test_everything_that_is_wrong_is_told_in_the_order_of_the_file(file: Path):
    text = """
limits:
  opena: {requests_per_minute: 1}
providers:
  eu: {provider: openai, timeout: soon, max_retries: -1}
routes:
  a: [x/y, eu/fine]
"""
    assert [line.partition(": ")[0] for line in wrong(file, text)] == ["3:3", "5:26", "5:41", "7:7"]


@pytest.mark.parametrize(
    "text",
    [
        "providers:\n  eu: {}\naliases:\n  a: eu/gpt\n",
        "aliases:\n  a: gpt\nroutes:\n  r: [a]\n  s: {deployments: [local/text], fallbacks: [a, r]}\n",
        "routes:\n  r: []\n  s: {deployments: [local/text], fallbacks: [r]}\n",
    ],
)
def test_what_names_something_that_is_wrong_is_not_wrong_itself(file: Path, text: str):
    assert len(wrong(file, text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "aliases:\n  a: ${KEY}\n",
        "aliases:\n  a: ${KEY}/gpt\n",
        "providers:\n  a: {provider: '${KEY}'}\n",
        "routes:\n  a: ['${KEY}/x']\n",
        "providers:\n  a: {provider: openai, base_url: '${KEY}'}\n",
    ],
)
def test_a_value_of_the_environment_is_never_in_an_error(file: Path, text: str):
    assert "sk-secret" not in "\n".join(wrong(file, text, {"KEY": "sk-secret"}))


def test_a_key_in_the_file_is_never_in_an_error(file: Path):
    for text in ("providers: {openai: sk-secret}\n", "providers:\n  openai: {api_key: 'sk-secret\n"):
        assert "sk-secret" not in "\n".join(wrong(file, text))


def test_an_error_of_the_environment_names_its_variable(file: Path):
    file.write_text("providers: {}\n")
    with pytest.raises(ConfigurationError, match=r"^OPENAI_BASE_URL: must be a URL"):
        load_setup(file, {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "x"})
    file.write_text("providers: {openai: off}\n")
    assert list(load_setup(file, {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "x"}).providers) == ["local"]

from __future__ import annotations

import base64
import hashlib
import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from nexusai.providers.models import Models
from nexusai.providers.tokens import (
    TokenCount,
    count_tokens,
    estimate_message_tokens,
    estimate_tokens,
    fit_max_tokens,
)

COUNTED = {
    "english": (
        "It was raining again when Martha stepped off the bus, and the streetlights had already"
        " come on although it was barely four in the afternoon. She pulled her coat tighter and"
        " thought about the letter in her bag, the one she hadn't dared to open. \"You'll feel"
        " better once you know,\" her sister had told her, but Martha wasn't so sure. In her experience,"
        " knowing rarely made anything better; it only made things certain.\n"
        "Please write a short email telling our customer that the release planned for next Wednesday"
        " has to be postponed until the end of the month because a supplier is late, and that we'll"
        " give them two extra weeks of free support. Keep it friendly, keep it short, and add the"
        " new schedule at the bottom: beta on the 12th, final on the 28th.",
        160,
    ),
    "chinese": (
        "那天傍晚，天色阴沉得厉害，街上的行人都加快了脚步。老王收拾好摊子，正打算回家，忽然看见"
        '一个小女孩站在路灯下，怀里抱着一只湿漉漉的小猫。他走过去问她："你家在哪儿？怎么一个人'
        '在这里？"小女孩抬起头，眼睛红红的，说她在等妈妈下班。老王叹了口气，从箱子里拿出一把旧'
        "伞递给她，又陪她站了半个多小时，直到远处传来一阵急促的脚步声。\n"
        "据新华社报道，今年前三季度，全国居民人均可支配收入达到三万零九百四十一元，同比名义增长"
        "百分之五点二。其中，城镇居民人均可支配收入增长百分之四点五，农村居民增长百分之六点六。"
        "专家认为，随着一系列稳就业、促消费政策逐步落地，居民收入有望继续保持平稳增长，但外部环"
        "境的不确定性仍然需要高度关注。\n"
        "请帮我写一封邮件，告诉客户由于供应商延迟交货，原定于下周三上线的版本需要推迟到月底，同"
        "时说明我们会提供额外两周的免费技术支持作为补偿。语气要诚恳，不要太长，最后附上新的时间"
        "表和联系人的电话。\n"
        "在机器学习中，过拟合是指模型在训练数据上表现很好，但在未见过的数据上表现较差。常见的解"
        "决办法包括增加训练数据、使用正则化、提前停止训练以及降低模型的复杂度。交叉验证可以帮助"
        "我们更可靠地评估模型的泛化能力。",
        387,
    ),
    "japanese": (
        "昨日は朝から雨が降っていたので、家で本を読んで過ごしました。夕方になってようやく空が明"
        "るくなり、近所の公園まで散歩に出かけました。新しいスマートフォンの設定方法がわからない"
        "場合は、サポートセンターまでお問い合わせください。プログラミングを学ぶときに大切なのは"
        "、実際に手を動かしてコードを書いてみることです。エラーメッセージをよく読み、なぜそうな"
        "るのかを考える習慣をつけましょう。",
        137,
    ),
    "korean": (
        "어제는 아침부터 비가 와서 집에서 책을 읽으며 시간을 보냈습니다. 저녁이 되어서야 하늘이"
        " 맑아져 근처 공원으로 산책을 나갔습니다. 새 스마트폰의 설정 방법을 모르실 경우 고객 센"
        "터로 문의해 주시기 바랍니다. 프로그래밍을 배울 때 중요한 것은 실제로 코드를 작성해 보"
        "는 것입니다.",
        86,
    ),
    "russian": (
        "Вчера с самого утра шёл дождь, поэтому мы остались дома и читали книги. Только к вечеру"
        " небо прояснилось, и мы вышли прогуляться в ближайший парк. Если вы не знаете, как настроить"
        " новый телефон, обратитесь, пожалуйста, в службу поддержки. При изучении программирования"
        " важно самостоятельно писать код и внимательно читать сообщения об ошибках.",
        80,
    ),
    "code": (
        "def parse(line: bytes) -> tuple[str, int]:\n"
        '    """Split a header line into its name and value."""\n'
        '    name, _, value = line.partition(b":")\n'
        "    if not value.strip().isdigit():\n"
        '        raise ValueError(f"not a number: {value!r}")\n'
        '    return name.decode("ascii"), int(value)\n'
        "\n"
        "\n"
        "for index, item in enumerate(items[1:], start=1):\n"
        '    totals[item["key"]] += item["price"] * 1.19\n',
        99,
    ),
    "mixed": (
        "在 Python 里，用 `asyncio.gather()` 可以并发地等待多个任务。如果其中一个失败，其余的不"
        "会自动取消，所以 3.11 之后更推荐 TaskGroup：它会在第一个异常出现时取消其他任务，然后抛"
        "出 ExceptionGroup。",
        58,
    ),
}
"""Texts and their tokens as o200k_base counts them."""


@pytest.mark.parametrize("name", COUNTED)
def test_the_estimate_is_within_ten_percent_of_the_tokenizer(name: str):
    text, tokens = COUNTED[name]
    assert estimate_tokens(text) == pytest.approx(tokens, rel=0.10)


LAYOUTS = {
    "one after another": lambda texts: texts,
    "in sections": sorted,
    "shuffled": lambda texts: random.Random(7).sample(texts, len(texts)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ten_megabytes_are_estimated_within_ten_percent_of_the_full_count(layout: str):
    texts = [COUNTED[name][0] + "\n\n" for name in ("chinese", "english", "code", "mixed")]
    times = 10_000_000 // len("".join(texts).encode()) + 1
    full = times * sum(map(estimate_tokens, texts))
    assert estimate_tokens("".join(LAYOUTS[layout](texts * times))) == pytest.approx(full, rel=0.10)


class Read(str):
    """A text that counts how many of its characters were taken."""

    taken = 0

    @override
    def __getitem__(self, key):
        piece = super().__getitem__(key)
        self.taken += len(piece)
        return piece


@pytest.mark.parametrize("length", [20_001, 1_000_000])
def test_no_more_than_twenty_thousand_characters_are_looked_at(length: int):
    text = Read("word " * (length // 5) + "w" * (length % 5))
    assert estimate_tokens(text) == pytest.approx(length / 5, rel=0.02)
    assert text.taken == 20_000


def test_what_lies_between_the_samples_is_not_looked_at():
    text = "字" * 1_000_000
    assert estimate_tokens(text[:600] + "!" * 10_000 + text[10_600:]) == estimate_tokens(text)


def test_a_long_text_is_estimated_to_its_very_end():
    assert estimate_tokens("a " * 20_000 + "字" * 500) != estimate_tokens("a " * 20_250)


def test_nothing_is_no_token():
    assert estimate_tokens("") == 0


def test_every_message_costs_something_besides_its_text():
    one = estimate_message_tokens([{"role": "user", "content": "hello"}])
    assert one == estimate_tokens("hello") + 7
    assert estimate_message_tokens([{"role": "user", "content": "hello"}] * 2) > 2 * (one - 3)


def test_the_text_parts_of_a_message_count():
    parts = [
        {"type": "text", "text": "hello there"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        "odd",
    ]
    assert estimate_message_tokens([{"role": "user", "content": parts}]) == estimate_tokens("hello there") + 7


def test_a_message_without_content_counts_as_framed_nothing():
    assert estimate_message_tokens([{"role": "assistant", "content": None, "tool_calls": []}]) == 7


def test_tool_calls_of_a_message_count():
    call = {"id": "1", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert estimate_message_tokens([message]) == estimate_tokens('weather\n{"city": "Oslo"}') + 7


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["role", "content", "tool_calls"]),
            st.recursive(
                st.none() | st.text(max_size=5) | st.integers(),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["text", "function", "type"]), inner)
                ),
            ),
        ),
        max_size=3,
    )
)
def test_messages_of_any_shape_are_estimated(messages):
    assert estimate_message_tokens(messages) >= 3


TEXT = [{"role": "user", "content": "hello hello"}]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of 256 bytes and two words, in a folder of its own."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    words = [*(bytes((byte,)) for byte in range(256)), b"he", b"ll", b"hell", b"hello", b" hello", b"user"]
    lines = [base64.b64encode(word) + b" %d" % rank for rank, word in enumerate(words)]
    (tmp_path / "o200k_base.tiktoken").write_bytes(b"\n".join(lines))
    return tmp_path / "o200k_base.tiktoken"


class TestCounting:
    @pytest.mark.parametrize("model", ["gpt-4o", "o3-mini", "openai/gpt-5", "gpt-oss-120b"])
    def test_is_the_tokenizers_where_its_table_is(self, table, model):
        assert count_tokens(TEXT, model) == TokenCount(2 + 1 + 3 + 3, "tokenizer")

    def test_finds_the_table_under_tiktokens_own_name(self, table):
        address = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
        table.rename(table.parent / hashlib.sha1(address.encode()).hexdigest())
        assert count_tokens(TEXT, "gpt-4o").source == "tokenizer"

    def test_is_an_estimate_without_a_table(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "empty"))
        assert count_tokens(TEXT, "gpt-4o") == TokenCount(estimate_message_tokens(TEXT), "estimate")

    def test_is_an_estimate_without_a_folder(self, monkeypatch):
        monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
        assert count_tokens(TEXT, "gpt-4o").source == "estimate"

    def test_is_an_estimate_without_tiktoken(self, table, monkeypatch):
        for name in ("tiktoken", "tiktoken.model"):
            monkeypatch.setitem(sys.modules, name, None)
        assert count_tokens(TEXT, "gpt-4o").source == "estimate"

    @pytest.mark.parametrize("model", ["claude-sonnet-4-5", "qwen-plus", "davinci", ""])
    def test_is_an_estimate_for_models_of_which_nobody_has_a_table(self, table, model):
        assert count_tokens(TEXT, model).source == "estimate"

    @pytest.mark.parametrize("content", [b"not base64 1", b"AA== x", b"AA== 0", b"\xff"])
    def test_is_an_estimate_with_a_broken_table(self, table, content):
        table.write_bytes(content)
        assert count_tokens(TEXT, "gpt-4o").source == "estimate"

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "user", "content": [{"type": "text", "text": "hello"}]},
            {"role": "assistant", "content": "", "tool_calls": []},
            {"role": "user", "content": "hello", "name": "Ann"},
        ],
    )
    def test_is_an_estimate_for_more_than_texts(self, table, message):
        assert count_tokens([message], "gpt-4o") == TokenCount(estimate_message_tokens([message]), "estimate")

    def test_survives_half_a_character(self, table):
        assert count_tokens([{"role": "user", "content": "\ud83d"}], "gpt-4o").source == "tokenizer"


class TestFitting:
    MODELS = Models(
        {
            "shop/whole": {"context_window": 1000, "max_output_tokens": 400},
            "shop/window": {"context_window": 1000},
            "shop/answer": {"max_output_tokens": 400},
            "shop/price": {},
        }
    )
    LONG = ({"role": "user", "content": "word " * 700},)

    def fitted(self, model, wanted=None, messages=TEXT):
        return fit_max_tokens(messages, model, wanted, self.MODELS)

    @pytest.mark.parametrize(
        ("model", "wanted", "fitted"),
        [
            ("whole", 100, 100),
            ("whole", 5000, 400),
            ("whole", None, 400),
            ("answer", 5000, 400),
            ("price", 5000, 5000),
            ("price", None, None),
            ("unknown", 5000, 5000),
            ("unknown", None, None),
            ("vendor/whole", 5000, 400),
        ],
    )
    def test_takes_what_is_wanted_as_far_as_the_model_goes(self, model, wanted, fitted):
        assert self.fitted(model, wanted) == fitted

    def test_leaves_room_for_the_prompt_and_a_tenth_for_the_estimate(self):
        prompt = estimate_message_tokens(self.LONG)
        assert self.fitted("window", None, self.LONG) == 1000 - prompt * 11 // 10

    def test_leaves_no_more_than_the_prompt_where_it_is_counted(self, table):
        models = Models({"openai/gpt-4o": {"context_window": 100}})
        assert fit_max_tokens(TEXT, "gpt-4o", None, models) == 100 - 9

    def test_leaves_one_token_where_there_is_no_room(self):
        assert self.fitted("window", 50, self.LONG * 5) == 1

    def test_knows_the_built_in_models(self):
        assert fit_max_tokens(TEXT, "gpt-4o", 10**9) == 16_384
        assert fit_max_tokens(TEXT, "claude-sonnet-4-5") == 64_000

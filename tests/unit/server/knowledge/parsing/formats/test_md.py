from __future__ import annotations

TEXT = """\
# The `name` of *it*

A paragraph
of two lines with **words**.

- one
  - two

| a | b |
|---|---|
| 1 | 2 |

> said

```python
x = 1
```

小节
----

<div>inside</div>
"""


def test_every_kind_of_block_is_found(blocks):
    assert blocks(TEXT, "md") == [
        ("heading", 1, None, "The name of it"),
        ("paragraph", None, None, "A paragraph\nof two lines with **words**."),
        ("list", None, None, "- one\n  - two"),
        ("table", None, None, "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("paragraph", None, None, "said"),
        ("code", None, None, "x = 1"),
        ("heading", 2, None, "小节"),
        ("paragraph", None, None, "inside"),
    ]


def test_front_matter_gives_the_title_and_is_no_text(parsed):
    document = parsed('---\ntitle: "指南"\ntags: [a]\n---\n# 开始\n', "md")
    assert document.title == "指南"
    assert [block.text for block in document.blocks] == ["开始"]

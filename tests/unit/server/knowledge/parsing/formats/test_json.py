from __future__ import annotations


def test_a_list_of_flat_objects_is_a_table(blocks):
    text = '[{"名称": "甲", "n": 1.50}, {"名称": "乙", "n": 12345678901234567890123}]'
    assert blocks(text, "json") == [
        ("table", None, None, "| 名称 | n |\n| --- | --- |\n| 甲 | 1.50 |\n| 乙 | 12345678901234567890123 |")
    ]


def test_names_at_the_top_are_headings_over_their_paths(blocks):
    text = '{"title": "T", "server": {"port": 80, "hosts": ["a", "b"], "on": true, "off": null}}'
    assert blocks(text, "json") == [
        ("paragraph", None, None, "title: T"),
        ("heading", 1, None, "server"),
        (
            "paragraph",
            None,
            None,
            "server.port: 80\nserver.hosts[0]: a\nserver.hosts[1]: b\nserver.on: true\nserver.off:",
        ),
    ]


def test_json_lines_are_a_list(blocks):
    found = blocks('{"q": "one"}\n\n{"q": ["two"]}\n', "json")
    assert [text for *_, text in found] == ["q: one", "q[0]: two"]


def test_a_table_below_a_name_is_a_table(blocks):
    assert [kind for kind, *_ in blocks('{"rows": [{"a": 1}, {"a": 2}]}', "json")] == ["heading", "table"]

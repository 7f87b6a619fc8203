"""The table that every bench prints."""

from __future__ import annotations

import json

from bench.report import Report, Table, cell, table

MACHINE = {"cpu": "a processor, 2 cores", "date": "today"}


def report() -> Report:
    rows = [["one", 12, 3.14159, True], ["two", 3, float("nan"), False]]
    return Report("Title", ("name", "count", "ms", "met"), rows, {"streams": 5}, ["A note."], MACHINE)


def test_numbers_stand_right_and_text_left():
    assert table(("name", "count"), [["one", 12], ["seven", 3]]).splitlines() == [
        "| name  | count |",
        "| ----- | ----: |",
        "| one   |    12 |",
        "| seven |     3 |",
    ]


def test_cells():
    values = [None, float("nan"), float("inf"), True, False, 7, 0.0, 1.234, 12.34, 1234.5, "x"]
    assert [cell(v) for v in values] == [
        *("–", "–", "inf", "yes", "NO", "7", "0.0", "1.23", "12.3", "1234", "x"),
    ]


def test_markdown_says_what_where_and_when():
    lines = report().markdown().splitlines()
    assert lines[0] == "### Title"
    assert "a processor, 2 cores · today" in lines
    assert "streams 5" in lines
    assert lines[-1] == "A note."
    assert sum(line.startswith("|") for line in lines) == 4


def test_json_keeps_the_figures_exact_and_is_strict():
    body = json.loads(report().json(), parse_constant=lambda name: f"unexpected {name}")
    assert body["rows"] == [["one", 12, 3.14159, True], ["two", 3, None, False]]
    assert body["machine"] == MACHINE


def test_this_machine_is_described():
    machine = Report("t", ()).machine
    assert machine["cpu"].endswith("cores")
    assert machine["commit"].startswith("commit ")


def test_further_tables_stand_between_the_first_and_the_notes():
    it = report()
    it.tables.append(Table("More", ["name", "share"], [["x", 0.123456]]))
    text = it.markdown()
    assert text.index("| two ") < text.index("#### More\n\n| name | share |") < text.index("A note.")
    body = json.loads(it.json())
    assert body["tables"] == [{"title": "More", "columns": ["name", "share"], "rows": [["x", 0.123456]]}]
    assert "tables" not in json.loads(report().json())

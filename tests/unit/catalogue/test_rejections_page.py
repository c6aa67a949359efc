"""docs/REJECTIONS.md says what the code and the table of checks say."""

from pathlib import Path

from pipeline.catalogue.facts import rows
from pipeline.domain.rejections import TEXTS, Code
from pipeline.limits import PROBLEMS_PER_MESSAGE_MAX
from pipeline.settings import Settings
from pipeline.settings_text import variable

PAGE = (Path(__file__).parents[3] / "docs" / "REJECTIONS.md").read_text(encoding="utf-8")


def table(first_heading: str) -> list[list[str]]:
    """Return the cells of the table that begins with a heading."""
    lines = PAGE.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_every_code_is_on_the_page_with_its_text_and_what_to_do() -> None:
    page = {cells[0]: cells[1:] for cells in table("code")}
    assert list(page) == [code.value for code in Code]
    assert {code: cells[0] for code, cells in page.items()} == {
        one.value: text for one, text in TEXTS.items()
    }
    assert all(len(cells[1]) > 5 for cells in page.values())


def test_every_check_is_on_the_page_as_in_the_table() -> None:
    expected = [
        [
            f"`{row['id']}`",
            row["level"],
            "yes" if row["movable"] == "y" else "no",
            row["code"],
            row["text"],
            row["source"],
        ]
        for row in rows("checks.tsv")
    ]
    assert table("check") == expected


def test_the_page_names_only_settings_and_limits_that_exist() -> None:
    known = {variable(name) for name in Settings.__slots__}
    named = {
        word.strip("`.,;:()").split("=")[0] for word in PAGE.split() if word.strip("`(").startswith("DIP_")
    }
    assert named
    assert named <= known
    assert f"Up to {PROBLEMS_PER_MESSAGE_MAX} problems" in PAGE

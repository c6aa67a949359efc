"""What the image is made from, read: these hold on machines without a container engine, too."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.findall(r"^([A-Z]+) (.*)$", TEXT.replace("\\\n", " "), re.MULTILINE)
FINAL = TEXT.rpartition("\nFROM ")[2]


def test_what_builds_does_not_go_into_the_image() -> None:
    assert [name for name, _ in INSTRUCTIONS].count("FROM") == 2
    copied = re.findall(r"^COPY (.*)$", FINAL, re.MULTILINE)
    assert copied == ["--from=build /opt/dip /opt/dip"]


def test_it_runs_as_a_number_that_kubernetes_can_check() -> None:
    users = [text for name, text in INSTRUCTIONS if name == "USER"]
    assert users == ["10001:10001"]
    assert FINAL.index("USER") < FINAL.index("ENTRYPOINT")


def test_it_takes_no_secret_along() -> None:
    assert not re.search(r"^(ARG|ENV) .*(TOKEN|PASSWORD|SECRET)", TEXT, re.MULTILINE | re.IGNORECASE)
    assert "--mount=type=secret,id=ca" in TEXT


def test_the_builder_gets_only_what_the_wheel_is_made_from() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [one for one in lines if one and not one.startswith("#")]
    assert rules[0] == "*"
    allowed = {one.removeprefix("!") for one in rules if one.startswith("!")}
    copied = {
        name for text in re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE) for name in text.split()
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_it_is_looked_after_by_engines_without_probes() -> None:
    assert "HEALTHCHECK" in FINAL
    assert "/healthz" in FINAL

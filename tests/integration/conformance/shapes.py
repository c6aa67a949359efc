"""Whether a body has the published shape, by the `api:` blocks of the fact tables and nothing else."""

import json

from tests.support.fact_interpreter import scalar_fits
from tests.support.generator import Form, Lst, Obj, Val, block_form


def misfits(form: Form, value: object, at: str = "") -> list[str]:
    """Return the pointers of what does not fit a form."""
    match form:
        case Val(item=item, allowed=allowed):
            return [] if scalar_fits(value, item, allowed) else [at]
        case Lst(element=element, low=low, high=high):
            if not isinstance(value, list) or len(value) < low or (high is not None and len(value) > high):
                return [at]
            return [one for n, part in enumerate(value) for one in misfits(element, part, f"{at}/{n}")]
        case Obj(members=members):
            if not isinstance(value, dict):
                return [at]
            absent = [f"{at}/{name}" for name, (need, _) in members.items() if need and name not in value]
            return absent + [
                one
                for name, part in value.items()
                if name in members
                for one in misfits(members[name][1], part, f"{at}/{name}")
            ]


def complaint(kind: str, content: bytes) -> str | None:
    """Return what is wrong with a body of a published kind; the kind "" is no body at all."""
    if kind == "":
        return None if content == b"" else f"no body is published, got {content[:200]!r}"
    try:
        wrong = CHECKS[kind](json.loads(content))
    except ValueError:
        wrong = ["not JSON"]
    return f"misfits at {wrong}: {content[:300]!r}" if wrong else None


def text(value: object) -> list[str]:
    return [] if isinstance(value, str) and value else ["a JSON string is published"]


def standard_response(value: object) -> list[str]:
    """No key is marked as required in the document; a response without its two parts would say nothing."""
    if not isinstance(value, dict) or value.keys() != {"messageArray", "timestamp"}:
        return ["a StandardResponse has messageArray and timestamp"]
    wrong = misfits(block_form("api:StandardResponse"), value)
    return wrong or [
        f"/messageArray/{n}: not ten keys" for n, row in enumerate(value["messageArray"]) if len(row) != 10
    ]


def companies(value: object) -> list[str]:
    if not isinstance(value, list) or not all(one.keys() == {"payload"} for one in value):
        return ["an array of objects with payload is published"]
    form = Lst(element=block_form("api:marketParticipantDetail"), low=0, high=None)
    return misfits(form, [one["payload"] for one in value])


CHECKS = {"string": text, "StandardResponse": standard_response, "companies": companies}

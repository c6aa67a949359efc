"""What `Catalogue.check` says, case by case."""

import sys
from random import Random

import pytest

from pipeline.catalogue import explanation, load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.domain.rejections import Code
from pipeline.limits import PROBLEMS_PER_MESSAGE_MAX

CATALOGUE = load_catalogue()
S0 = "/payload/CommonBlock/S0"


def consumption(**overrides):
    return sample(CATALOGUE, "IF-021", "ActivePower", Random(1), overrides=overrides)


def header(**fields):
    message = consumption()
    message["payload"]["CommonBlock"]["S0"].update(fields)
    return message


def first(message, channel=None):
    verdict = CATALOGUE.check(message, channel=channel)
    return verdict.code, verdict.problems[0].pointer


def test_a_valid_message_has_no_code_and_names_its_pair():
    verdict = CATALOGUE.check(consumption(), channel="IF-021")
    assert (verdict.valid, verdict.code, verdict.interface, verdict.event) == (
        True,
        None,
        "IF-021",
        "ActivePower",
    )


@pytest.mark.parametrize("interface", ["IF-030", "IF-042", "IF-999", "if-021", "", "PUB-021"])
def test_an_interface_without_a_schema_is_refused_by_its_own_code(interface):
    """030 and 042 are named in the published document and have no schema; values are case-sensitive."""
    assert first(header(interfaceID=interface)) == (Code.INTERFACE, f"{S0}/interfaceID")


def test_a_message_on_the_wrong_channel_is_refused_by_the_interface_code():
    assert first(consumption(), "IF-013") == (Code.INTERFACE, f"{S0}/interfaceID")


@pytest.mark.parametrize(
    "event", ["[MSApp]", "ActivePower", "[ActivePower", "[activepower]", "", "[]", "[[ActivePower]]"]
)
def test_an_event_that_the_interface_does_not_have_is_a_schema_failure(event):
    assert first(header(eventCode=event)) == (Code.SCHEMA, f"{S0}/eventCode")


@pytest.mark.parametrize("name", ["interfaceID", "eventCode"])
@pytest.mark.parametrize("value", [None, 21, ["IF-021"], {}])
def test_a_header_of_another_type_is_a_schema_failure_at_its_place(name, value):
    assert first(header(**{name: value})) == (Code.SCHEMA, f"{S0}/{name}")


@pytest.mark.parametrize(
    ("message", "pointer"),
    [
        (None, ""),
        ([], ""),
        ("text", ""),
        ({}, "/payload"),
        ({"payload": None}, "/payload"),
        ({"payload": {}}, "/payload/CommonBlock"),
        ({"payload": {"CommonBlock": []}}, "/payload/CommonBlock"),
        ({"payload": {"CommonBlock": {}}}, S0),
        ({"payload": {"CommonBlock": {"S0": {}}}}, f"{S0}/interfaceID"),
        ({"payload": {"CommonBlock": {"S0": {"interfaceID": "IF-021"}}}}, f"{S0}/eventCode"),
    ],
)
def test_a_message_without_its_header_names_the_first_thing_that_is_missing(message, pointer):
    assert first(message) == (Code.SCHEMA, pointer)


def test_null_and_missing_are_told_apart():
    message = consumption()
    sender = message["payload"]["CommonBlock"]["S1"]
    sender["subText"] = None
    assert CATALOGUE.check(message).valid
    del sender["subText"]
    [problem] = CATALOGUE.check(message).problems
    assert problem.pointer == "/payload/CommonBlock/S1/subText"
    assert problem.text.startswith("missing")
    sender["subText"] = None
    sender["senderDIPID"] = None
    [problem] = CATALOGUE.check(message).problems
    assert problem.text == "null does not fit: expected text of 10 characters"


def test_names_in_another_letter_case_are_accepted_and_rewritten():
    message = consumption()
    common = message["payload"]["CommonBlock"]
    common["s0"] = {"InterfaceId": "IF-021", "SCHEMAVERSION": "011", "eventCode": "[ActivePower]"}
    del common["S0"]
    verdict = CATALOGUE.check(message)
    assert verdict.valid
    assert not verdict.exact_case
    assert verdict.rewritten == consumption()


def test_two_names_that_differ_by_letter_case_only_are_refused():
    """Which of the two counts would depend on the reader."""
    message = consumption()
    message["payload"]["CommonBlock"]["M0"]["mpancore"] = "1" * 13
    [problem] = CATALOGUE.check(message).problems
    assert problem.pointer == "/payload/CommonBlock/M0/MPANCore"
    assert problem.text.startswith("named twice")


def test_two_names_are_refused_also_where_the_specification_leaves_a_record_open():
    """S0 of IF-001 accepts unknown names, so the plain schema would let a second interface id through."""
    message = sample(CATALOGUE, "IF-001", "InitialRegistration", Random(1))
    common = message["payload"]["CommonBlock"]
    common["S0"]["note"] = "an unknown name is fine here"
    assert CATALOGUE.check(message).valid
    common["S0"]["interfaceid"] = "IF-002"
    assert first(message) == (Code.SCHEMA, f"{S0}/interfaceID")


def test_letters_of_other_alphabets_do_not_fold_into_a_known_name():
    """The Kelvin sign folds to k; it does not spell a name of the specification."""
    message = sample(CATALOGUE, "IF-050", "MPANCreation", Random(1))
    address = message["payload"]["CustomBlock"]["B022"]
    address["addre\u017f\u017fLine1"] = address.pop("addressLine1")
    pointers = [problem.pointer for problem in CATALOGUE.check(message).problems]
    assert pointers == [
        "/payload/CustomBlock/B022/addressLine1",
        "/payload/CustomBlock/B022/addre\u017f\u017fLine1",
    ]


def test_an_unknown_name_is_answered_with_the_name_it_resembles():
    message = consumption()
    sender = message["payload"]["CommonBlock"]["S1"]
    sender["environment"] = sender.pop("environmentTag")
    missing, unknown = CATALOGUE.check(message).problems
    assert missing.pointer.endswith("/S1/environmentTag")
    assert unknown.text == "unknown field; did you mean environmentTag?"


@pytest.mark.parametrize("interface", ["IF-021", "IF-0021", "IF-002A", "REP-002B", "021", "0021", "002A"])
def test_a_sender_reference_may_be_of_either_published_version(interface):
    reference = f"S-{interface}-2300000001-SUP-20260105-a1"
    assert CATALOGUE.check(consumption(**{"CommonBlock.S1.senderUniqueReference": reference})).valid


@pytest.mark.parametrize(
    "reference",
    ["S-IF-21-2300000001-SUP-20260105-a1", "S-IF-002C-2300000001-SUP-20260105-a1",
     "S-IF-021-2300000001-SUP-20260105-a1\n", "S-IF-021-2300000001-SUP-20260105-",
     "S-IF-\u0660\u0662\u0661-2300000001-SUP-20260105-a"],
)  # fmt: skip
def test_a_sender_reference_of_neither_version_is_refused(reference):
    verdict = CATALOGUE.check(consumption(**{"CommonBlock.S1.senderUniqueReference": reference}))
    assert [problem.pointer for problem in verdict.problems] == [
        "/payload/CommonBlock/S1/senderUniqueReference"
    ]


@pytest.mark.parametrize(
    "value",
    ["0.123\n", "\u0660.\u0661\u0662\u0663", "0.12", "1234567890.123", "+1.000", "1.000,2.000", " 0.123"],
)
def test_a_consumption_that_only_looks_like_a_decimal_is_refused(value):
    path = "CustomBlock.B900.settlementDayConsumptionPeriods[].consumptionPeriods[].v"
    assert not CATALOGUE.check(consumption(**{path: value})).valid


@pytest.mark.parametrize(
    ("value", "valid"), [(30, True), (30.0, False), ("30", False), (True, False), (45, False)]
)
def test_an_integer_is_written_without_a_fraction(value, valid):
    """The published document's dialect; recipients that read integers strictly would fail on 30.0."""
    path = "CustomBlock.B900.settlementDayConsumptionPeriods[].settlementDay.periodDuration"
    assert CATALOGUE.check(consumption(**{path: value})).valid is valid


def test_a_coexisting_schema_version_is_accepted_when_configured():
    message = header(schemaVersion="009")
    assert first(message) == (Code.SCHEMA, f"{S0}/schemaVersion")
    assert load_catalogue(versions_accepted=("009",)).check(message).valid


def test_a_name_that_is_no_unicode_is_refused_without_harm():
    """Strict JSON reading lets none through; whoever parses otherwise still gets a verdict."""
    message = consumption()
    message["payload"]["\ud800"] = 1
    assert not CATALOGUE.check(message).valid


class Explained:
    """Counts what it takes to explain a message: steps of the explaining walk, questions to the schema engine."""

    def __init__(self, message, limit=PROBLEMS_PER_MESSAGE_MAX):
        validator = CATALOGUE.pair("IF-021", "ActivePower")
        self.steps = 0
        self.asked = set()
        before = sys.getprofile()
        sys.setprofile(self._count)
        try:
            self.problems = validator.problems(message, limit)
        finally:
            sys.setprofile(before)

    def _count(self, frame, event, called):
        if event == "call" and frame.f_code.co_filename == explanation.__file__:
            self.steps += 1  # a generator that is resumed is called again
        elif event == "c_call" and type(called.__self__).__module__.startswith("jsonschema_rs"):
            self.asked.add(called.__name__)


def faulty(elements):
    message = consumption()
    days = message["payload"]["CustomBlock"]["B900"]["settlementDayConsumptionPeriods"]
    days[0]["consumptionPeriods"] = [{}] * elements
    return message


def test_a_message_with_a_million_faults_costs_no_more_than_one_with_ten():
    """The bridge explains refusals in its event loop: a hostile body must not hold it up."""
    hostile = faulty(1_000_000)
    assert len(CATALOGUE.check(hostile).problems) == PROBLEMS_PER_MESSAGE_MAX == 10
    few, many = Explained(faulty(100)), Explained(hostile)
    assert few.problems[1:] == many.problems[1:]  # the first says how many elements there are
    assert few.steps == many.steps
    # The engine's other questions collect every error before they give the first: minutes for this message.
    assert many.asked == {"is_valid"}
    assert Explained(faulty(200), limit=200).steps > 10 * many.steps  # the count counts


def test_deep_nesting_is_refused_without_harm():
    message = consumption()
    deep = {}
    for _ in range(900):
        deep = {"a": [deep]}
    message["payload"]["CustomBlock"]["B044"]["issuingDataServiceDIPID"] = deep
    message["payload"]["extra"] = deep
    pointers = {problem.pointer for problem in CATALOGUE.check(message).problems}
    assert pointers == {"/payload/extra", "/payload/CustomBlock/B044/issuingDataServiceDIPID"}


def test_an_offending_value_is_shown_shortened():
    message = consumption()
    message["payload"]["CommonBlock"]["S1"]["senderDIPID"] = "9" * 5000
    [problem] = CATALOGUE.check(message).problems
    assert "(5000 characters)" in problem.text
    assert len(problem.text) < 150


def test_an_unknown_pair_is_a_key_error():
    with pytest.raises(KeyError):
        CATALOGUE.pair("IF-021", "MSApp")


def test_effects_and_days_of_a_pair_without_any_are_empty():
    assert CATALOGUE.effects("IF-021", "ActivePower") == ()
    assert CATALOGUE.date_paths("IF-022", "LSSPeriodData") == ()

"""The faults in answers: a path each, what it does, and what a careful sender does about it."""

from collections.abc import Iterator, Mapping
from typing import Final

from pipeline.simulator.hostile.answers import (
    CODINGS,
    answers_and_closes,
    answers_twice,
    bomb,
    closes,
    dripping_body,
    dripping_head,
    echoes,
    endless_chunks,
    first_then,
    huge_header,
    interim,
    late_body,
    many_headers,
    names_strangers,
    old_version,
    plain,
    raw,
    redirects_to_itself,
    refuses_marked,
    reset_after_request,
    reset_in_body,
    reset_while_sending,
    says,
    silent,
    ten_gigabytes,
    well,
)
from pipeline.simulator.hostile.expectation import AnswerFault, Expected
from pipeline.simulator.hostile.speaking import head

_METADATA: Final = "Location: http://169.254.169.254/latest/meta-data/"
_TAKEN: Final = "RCP0000 - Taken"
_REFUSED: Final = "RCP1021 - Mandatory item absent"
_ORDINARY: Final = ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect",
                    "308 Permanent Redirect", "300 Multiple Choices", "304 Not Modified", "305 Use Proxy")  # fmt: skip
_ABOUT_ONE: Final = ("400 Bad Request", "413 Content Too Large", "415 Unsupported Media Type",
                     "422 Unprocessable Content")  # fmt: skip
_HINTS: Final = {
    "0": "0", "5": "5", "minus-5": "-5", "1e9": "1000000000", "word": "soon", "digits": "9" * 4_000,
    "past": "Wed, 21 Oct 2015 07:28:00 GMT", "future": "Fri, 31 Dec 2100 23:59:59 GMT",
}  # fmt: skip
"""What a Retry-After may say, by the name of its path."""

DELIVERED, RETRIED, WAITS, REJECTED = (
    Expected.DELIVERED,
    Expected.RETRIED,
    Expected.WAITS,
    Expected.REJECTED,
)


def _slow() -> Iterator[AnswerFault]:
    yield AnswerFault(name="silent", number=22, does="reads the request and never answers",
                      expected=RETRIED, notes="timeout", hangs=True, handler=silent)  # fmt: skip
    yield AnswerFault(name="headers-drip", number=23, does="sends its answer at one byte a second, from the first",
                      expected=RETRIED, notes="timeout", hangs=True, handler=dripping_head)  # fmt: skip
    yield AnswerFault(name="body-drips", number=24, does="201, then its body at one byte a second",
                      expected=DELIVERED, notes="timeout", hangs=True, handler=dripping_body)  # fmt: skip


def _large() -> Iterator[AnswerFault]:
    yield AnswerFault(name="body-10-gb", number=25, does="201 with a body of 10 GB",
                      expected=DELIVERED, notes="body_too_large", handler=ten_gigabytes)  # fmt: skip
    yield AnswerFault(name="chunks-endless", number=26, does="201 with chunks that never end",
                      expected=DELIVERED, notes="body_too_large", handler=endless_chunks)  # fmt: skip
    for coding in CODINGS:
        yield AnswerFault(name=f"bomb-{coding}", number=27, does=f"201 with a {coding} body that unpacks to 200 MB",
                          expected=DELIVERED, notes="status", handler=bomb(coding))  # fmt: skip
    yield AnswerFault(name="headers-100000", number=29, does="201 with 100,000 headers",
                      expected=RETRIED, notes="reset", handler=many_headers)  # fmt: skip
    yield AnswerFault(name="header-1-mb", number=29, does="201 with one header of 1 MB",
                      expected=RETRIED, notes="reset", handler=huge_header)  # fmt: skip
    yield AnswerFault(name="interim-endless", number=30, does="100 Continue for ever",
                      expected=RETRIED, notes="timeout", hangs=True, handler=interim("100 Continue", None))  # fmt: skip
    yield AnswerFault(name="interim-103", number=30, does="103 Early Hints three times, then 201",
                      expected=DELIVERED, handler=interim("103 Early Hints", 3))  # fmt: skip
    yield AnswerFault(name="interim-1000", number=30, does="102 Processing a thousand times, then 201",
                      expected=DELIVERED, handler=interim("102 Processing", 1_000))  # fmt: skip


def _broken() -> Iterator[AnswerFault]:
    body = b'{"messageArray":[]}'
    yield AnswerFault(name="length-too-long", number=28, does="201 that promises 1,000 bytes, sends 19 and closes",
                      expected=DELIVERED, notes="reset",
                      handler=plain("201 Created", body=body, length=1_000))  # fmt: skip
    yield AnswerFault(name="length-too-short", number=28, does="201 that promises 5 bytes and sends 19 at once",
                      expected=DELIVERED,
                      handler=plain("201 Created", body=body, length=5))  # fmt: skip
    yield AnswerFault(name="length-negative", number=28, does="201 that promises -1 bytes",
                      expected=RETRIED, notes="reset", handler=plain("201 Created", body=body, length=-1))  # fmt: skip
    yield AnswerFault(name="length-twice", number=28, does="201 with two lengths that differ",
                      expected=RETRIED, notes="reset",
                      handler=plain("201 Created", "Content-Length: 3", body=body))  # fmt: skip
    yield AnswerFault(name="reset-in-body", number=31, does="201, half of the body, then a reset",
                      expected=DELIVERED, notes="reset", handler=reset_in_body)  # fmt: skip
    yield AnswerFault(name="reset-after-request", number=32, does="reads the whole request, then resets",
                      expected=RETRIED, notes="reset", handler=reset_after_request)  # fmt: skip
    yield AnswerFault(name="reset-while-sending", number=32, does="resets while the request is still coming",
                      expected=RETRIED, notes="reset", early=True, handler=reset_while_sending)  # fmt: skip
    yield AnswerFault(name="closes-silently", number=32, does="reads the whole request, then closes in order",
                      expected=RETRIED, notes="reset", handler=closes)  # fmt: skip
    yield AnswerFault(name="no-http", number=32, does="answers with a line that is not HTTP",
                      expected=RETRIED, notes="reset", handler=raw(b"220 mail.example ESMTP\r\n"))  # fmt: skip
    yield AnswerFault(name="closes-when-idle", number=39, does="201, promises to keep the connection, then closes it",
                      expected=DELIVERED, lingers=True, handler=answers_and_closes)  # fmt: skip
    yield AnswerFault(name="answers-twice", number=39, does="201, and a moment later the same once more, unasked",
                      expected=DELIVERED, lingers=True, handler=answers_twice)  # fmt: skip
    yield AnswerFault(name="http-1-0", number=39, does="201 in HTTP/1.0, ended by closing",
                      expected=DELIVERED, handler=old_version)  # fmt: skip


def _statuses() -> Iterator[AnswerFault]:
    yield AnswerFault(name="204-with-body", number=33, does="204 with a body it must not have, in one piece",
                      expected=DELIVERED, handler=plain("204 No Content", body=b"surprise"))  # fmt: skip
    yield AnswerFault(name="204-then-body", number=33, does="204, and a body it must not have a moment later",
                      expected=DELIVERED, lingers=True, handler=late_body("204 No Content", b"surprise"))  # fmt: skip
    for status in ("200 OK", "202 Accepted", "226 IM Used", "299 Whatever"):
        yield AnswerFault(name=status[:3], number=33, does=status,
                          expected=DELIVERED, handler=says(status, _TAKEN))  # fmt: skip
    for status in _ORDINARY:
        yield AnswerFault(name=f"redirect-{status[:3]}", number=34, does=f"{status} to the cloud's metadata address",
                          expected=WAITS, notes="redirect", handler=plain(status, _METADATA))  # fmt: skip
    yield AnswerFault(name="redirect-to-itself", number=34, does="307 to its own address, for ever",
                      expected=WAITS, notes="redirect", handler=redirects_to_itself)  # fmt: skip
    yield AnswerFault(name="410-then-201", number=35, does="410 Gone to the first try of a delivery, then 201",
                      expected=WAITS, then=DELIVERED, notes="status",
                      handler=first_then(plain("410 Gone"), well))  # fmt: skip
    for status in ("401 Unauthorized", "403 Forbidden", "404 Not Found"):
        yield AnswerFault(name=status[:3], number=37, does=status,
                          expected=WAITS, notes="status", handler=plain(status))  # fmt: skip
    for status in ("408 Request Timeout", "500 Internal Server Error", "502 Bad Gateway"):
        yield AnswerFault(name=status[:3], number=36, does=status,
                          expected=RETRIED, notes="status", handler=plain(status))  # fmt: skip
    for status in ("429 Too Many Requests", "503 Service Unavailable"):
        for name, hint in _HINTS.items():
            yield AnswerFault(name=f"{status[:3]}-after-{name}", number=36, does=f"{status}, Retry-After: {hint[:40]}",
                              expected=RETRIED, notes="status",
                              handler=plain(status, f"Retry-After: {hint}"))  # fmt: skip
    for status in _ABOUT_ONE:
        yield AnswerFault(name=f"{status[:3]}-for-all", number=37, does=f"{status} to everything",
                          expected=REJECTED, notes="status", handler=says(status, _REFUSED))  # fmt: skip
        yield AnswerFault(name=f"{status[:3]}-for-marked", number=37,
                          does=f"{status} to arrays in which a message contains REFUSE-ME, else 201",
                          expected=DELIVERED, handler=refuses_marked(status))  # fmt: skip


def _words() -> Iterator[AnswerFault]:
    yield AnswerFault(name="200-with-error-text", number=38, does="200 that says the message is wrong",
                      expected=DELIVERED, handler=says("200 OK", "RCP1061 - MPAN unknown"))  # fmt: skip
    yield AnswerFault(name="200-with-html", number=38, does="200 with a page for people",
                      expected=DELIVERED, handler=plain("200 OK", body=b"<html>Sign in</html>"))  # fmt: skip
    yield AnswerFault(name="207-about-strangers", number=38, does="207 about what was sent, and what was not",
                      expected=DELIVERED, handler=names_strangers)  # fmt: skip
    yield AnswerFault(name="latin-1-header", number=40, does="201 with bytes in reason and header that are no UTF-8",
                      expected=DELIVERED,
                      handler=plain("201 Cr\xe9\xe9", "X-Name: caf\xe9 \xff", body=b"{}"))  # fmt: skip
    yield AnswerFault(name="bare-lf-in-header", number=40, does="201 with a header line cut by a bare line feed",
                      expected=RETRIED, notes="reset",
                      handler=raw(head("HTTP/1.1 201 Created", "X-A: 1\nX-B 2", "Content-Length: 0")))  # fmt: skip
    yield AnswerFault(name="line-ends-in-text", number=40,
                      does="400 whose text holds line ends, escapes and a forged log line",
                      expected=REJECTED, notes="status",
                      handler=says("400 Bad Request", "RCP1000 - No\r\nINFO all is well\x1b[2J\u2028"))  # fmt: skip
    yield AnswerFault(name="echoes-headers", number=41, does="400 that quotes all headers of the request in its help",
                      expected=REJECTED, notes="status", handler=echoes)  # fmt: skip


HEALTHY: Final = AnswerFault(name="healthy", number=13, does="201, as a recipient should", expected=DELIVERED,
                             handler=well)  # fmt: skip
ANSWER_FAULTS: Final[Mapping[str, AnswerFault]] = {
    one.name: one
    for group in ([HEALTHY], _slow(), _large(), _broken(), _statuses(), _words())
    for one in group
}

"""The words of notices: notices.tsv, one row for each topic."""

from collections.abc import Mapping

from pipeline.catalogue.facts import FactsInvalid, rows
from pipeline.domain.notices import Notice, Topic, Words


def load_notice_words() -> Mapping[Topic, Words]:
    """Return the templates. Raises FactsInvalid where topics and rows differ."""
    found = {row["topic"]: Words(message=row["message"], help=row["help"]) for row in rows("notices.tsv")}
    if found.keys() != set(Topic):
        raise FactsInvalid(f"notices.tsv: rows and topics differ by {sorted(found.keys() ^ set(Topic))}")
    return {Topic(name): words for name, words in found.items()}


def words_of(notice: Notice, templates: Mapping[Topic, Words]) -> Words:
    """Return the two texts of a notice. A status message cuts what is longer than its schema allows."""
    template = templates[notice.topic]
    return Words(
        message=template.message.format_map(notice.facts), help=template.help.format_map(notice.facts)
    )

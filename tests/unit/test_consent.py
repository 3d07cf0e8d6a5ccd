"""Who says what of a cancel: cleaned, named and kept as a person's own words."""

import pytest

from tests.fakes import START
from watcher.service.consent import Person
from watcher.service.records import Act, JobKey


@pytest.mark.parametrize(
    ("person", "who", "why"),
    [
        pytest.param(Person("ada", "command", "it\nrecovers"), "ada", "it recovers", id="a name and a reason"),
        pytest.param(Person("", "link"), "somebody", "", id="nobody named"),
        pytest.param(Person("x" * 500, "page", "y" * 900), "x" * 100, "y" * 500, id="far too long"),
    ],
)
def test_names_and_reasons_are_kept_on_one_line_within_limits(person: Person, who: str, why: str) -> None:
    entry = person.audit(Act.VETO, JobKey("main", "ft-1"), START, outcome="vetoed")

    assert (entry.who, entry.why, entry.via) == (who, why, person.via)

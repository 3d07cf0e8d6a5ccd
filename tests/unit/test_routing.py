"""Routes: which take an alert, what of it they tell, and who is told together."""

from dataclasses import replace

import pytest

from tests.stored import an_alert
from watcher.domain.alerts import WATCHER, Transition, TransitionReason
from watcher.domain.facts import JobFacts
from watcher.domain.matching import LABELS, Matcher, parse_matcher
from watcher.domain.muting import DEFAULT_INHIBITIONS, Inhibition
from watcher.domain.routing import Route, Routing, group_key, is_told, labels, matching_routes

FACTS = JobFacts(account="main", job_id="ft-1", selection="all", model="m", suffix="prod-7", user_id="u")


def a_route(*matchers: str, go_on: bool = False, send_resolved: bool = True) -> Route:
    parsed = tuple(map(parse_matcher, matchers))
    return Route(receivers=("team",), matchers=parsed, go_on=go_on, send_resolved=send_resolved)


@pytest.mark.parametrize(
    ("routes", "taken"),
    [
        pytest.param((a_route("suffix=prod-*"), a_route()), [0], id="the first that matches has it"),
        pytest.param((a_route("suffix=prod-*", go_on=True), a_route()), [0, 1], id="unless it goes on"),
        pytest.param((a_route("suffix=test-*", go_on=True), a_route()), [1], id="the last takes the rest"),
        pytest.param((a_route("rule=divergence", "owner!=u"), a_route()), [1], id="all matchers must match"),
    ],
)
def test_routes_are_asked_in_order(routes: tuple[Route, ...], taken: list[int]) -> None:
    assert matching_routes(Routing(routes=routes), labels(an_alert(), FACTS)) == taken


def test_an_alert_has_every_label_that_there_is() -> None:
    assert set(labels(an_alert(), FACTS)) == set(LABELS)
    assert labels(an_alert(subject=WATCHER), None)["job"] == ""


@pytest.mark.parametrize(
    ("reason", "notice", "route", "told"),
    [
        pytest.param(TransitionReason.FIRST, False, a_route(), True, id="a beginning"),
        pytest.param(TransitionReason.RESOLVED, False, a_route(), True, id="an end"),
        pytest.param(TransitionReason.RESOLVED, False, a_route(send_resolved=False), False, id="unless not wanted"),
        pytest.param(TransitionReason.RESOLVED, True, a_route(), False, id="a notice has no end"),
        pytest.param(TransitionReason.ENDED, False, a_route(), False, id="that nobody looks is no news"),
        pytest.param(TransitionReason.CANCEL_REQUESTED, False, a_route(), False, id="the outcome follows"),
        pytest.param(TransitionReason.CANCELLED, False, a_route(send_resolved=False), True, id="the outcome"),
    ],
)
def test_what_is_told(reason: TransitionReason, notice: bool, route: Route, told: bool) -> None:  # noqa: FBT001
    alert = an_alert(notice=notice)

    assert is_told(Transition(alert=alert, reason=reason, at=alert.starts_at), route) is told


def test_a_stored_group_finds_its_route_wherever_it_stands_now() -> None:
    mine = Route(receivers=("team",), matchers=(Matcher("suffix", ("prod-*",)),))
    rest = Route(receivers=("team",))
    moved = Routing(routes=(Route(receivers=("boss",), matchers=(Matcher("rule", ("x",)),)), mine, rest))

    assert moved.route(mine.id) is mine
    assert Routing(routes=(rest,)).route(mine.id) is rest


def test_told_together_is_what_agrees_on_the_labels_of_one_receiver_and_route() -> None:
    route = Route(receivers=("team",), group_by=("account", "suffix"))
    other = replace(route, matchers=(Matcher("account", ("main",)),))
    mine = group_key("team", route, {"account": "main", "suffix": "a", "rule": "x"})

    assert mine == group_key("team", route, {"account": "main", "suffix": "a", "rule": "y"})
    assert len({mine, group_key("team", other, {"account": "main", "suffix": "a"})}) == 2
    assert len({mine, group_key("boss", route, {"account": "main", "suffix": "a"})}) == 2
    assert len({mine, group_key("team", route, {"account": "main", "suffix": "b"})}) == 2


@pytest.mark.parametrize(
    ("inhibitions", "asks"),
    [
        pytest.param(DEFAULT_INHIBITIONS, False, id="the built-in ones look at the alert alone"),
        pytest.param((Inhibition(source=(), target=(), equal=("suffix",)),), True, id="equal names"),
        pytest.param((Inhibition(source=(parse_matcher("model=x"),), target=(), equal=()),), True, id="a model"),
    ],
)
def test_the_jobs_of_what_fires_are_looked_at_only_where_an_inhibition_asks(
    inhibitions: tuple[Inhibition, ...],
    asks: bool,  # noqa: FBT001
) -> None:
    assert Routing(routes=(a_route(),), inhibitions=inhibitions).inhibits_by_facts is asks

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.leaks import CANARY
from tests.rulebook import BOOK, Broken, Patience, Rare, Slow, Unseen
from watcher.domain.cancel_policy import CancelMode, CancelPolicy
from watcher.domain.matching import Matcher
from watcher.domain.observations import Snapshot, Status
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import Severity
from watcher.settings import Selection, Settings, effective, format_duration, load_settings, parse_duration, state_dir

KEY = {"TOGETHER_API_KEY": CANARY}
Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def _load(text: str = "", environ: dict[str, str] | None = None, *, offline: bool = False) -> Settings:
        path = tmp_path / "watcher.yaml"
        path.write_text(text)
        given = KEY if environ is None else environ
        return load_settings(path, given, offline=offline, rules=BOOK, docker_secrets=tmp_path / "secrets")

    return _load


def rules(settings: Settings, selection: Selection) -> tuple[Any, ...]:
    return settings.rules_for(selection)


def a_job(**fields: object) -> Snapshot:
    base: dict[str, object] = {
        "job_id": "ft-1",
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "status": Status.RUNNING,
        "raw_status": "running",
    }
    return Snapshot(**{**base, **fields})  # type: ignore[arg-type]


def test_without_a_file_a_key_in_the_environment_is_all_it_takes() -> None:
    settings = load_settings(None, KEY, rules=BOOK)

    (account,) = settings.accounts
    assert account.name == "default"
    assert account.api_key.get_secret_value() == CANARY
    assert account.base_url == "https://api.together.ai/v1"
    assert [url.get_secret_value() for url in settings.receivers[0].urls] == ["console://"]
    assert settings.cancel.mode is CancelMode.OFF
    assert [route.receivers for route in settings.routing().routes] == [("console",)]
    assert rules(settings, settings.jobs[0]) == (Broken(), Slow())
    shared: tuple[Any, ...] = settings.rules_on(SubjectKind.ACCOUNT)
    assert shared == (Unseen(),)
    assert settings.selection_of(a_job()) is settings.jobs[0]


@pytest.mark.parametrize("given", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_the_address_is_taken_with_and_without_the_version(load: Load, given: str) -> None:
    assert load(environ=KEY | {"TOGETHER_BASE_URL": given}).accounts[0].base_url == "http://h:1/v1"
    assert load(f"accounts: [{{name: a, base_url: '{given}'}}]").accounts[0].base_url == "http://h:1/v1"


def test_keys_come_from_the_file_variables_files_or_credentials(load: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"sk-{CANARY}-from-file\n")
    (tmp_path / "cred").mkdir()
    (tmp_path / "cred" / "together_api_key").write_text(f"sk-{CANARY}-from-credential\n")
    text = f"""
accounts:
  - {{name: a, api_key: "${{KEY_A}}"}}
  - {{name: b, api_key_env: KEY_B}}
  - {{name: c, api_key_file: {tmp_path}/key}}
  - {{name: d}}
"""
    environ = {"KEY_A": f"sk-{CANARY}-a", "KEY_B": f"sk-{CANARY}-b", "CREDENTIALS_DIRECTORY": str(tmp_path / "cred")}
    settings = load(text, environ)

    keys = [account.api_key.get_secret_value() for account in settings.accounts]
    assert keys == [f"sk-{CANARY}-a", f"sk-{CANARY}-b", f"sk-{CANARY}-from-file", f"sk-{CANARY}-from-credential"]
    assert settings.secret_files == {tmp_path / "key", tmp_path / "cred" / "together_api_key"}


def test_a_variable_wins_over_its_file_and_its_file_over_a_docker_secret(load: Load, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "together_api_key").write_text(f"sk-{CANARY}-docker")
    (tmp_path / "named").write_text(f"sk-{CANARY}-named")
    named = {"TOGETHER_API_KEY_FILE": str(tmp_path / "named")}

    def key(environ: dict[str, str]) -> str:
        return load(environ=environ).accounts[0].api_key.get_secret_value()

    assert key({}) == f"sk-{CANARY}-docker"
    assert key(named) == f"sk-{CANARY}-named"
    assert key(named | KEY) == CANARY


def test_the_environment_wins_over_secret_files_and_they_over_the_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "watcher_web__host").write_text("docker\n")
    (tmp_path / "secrets" / "watcher_web__port").write_text("2")
    (tmp_path / "secrets" / "of_another_program").write_text("x")
    (tmp_path / "level").write_text("error")
    text = "web: {enabled: false, host: file, port: 1}\nlog: {level: debug, format: json}"
    settings = load(text, KEY | {"WATCHER_WEB__PORT": "3", "WATCHER_LOG__LEVEL_FILE": str(tmp_path / "level")})

    assert (settings.web.enabled, settings.web.host, settings.web.port) == (False, "docker", 3)
    assert settings.log.model_dump() == {"level": "error", "format": "json"}


def test_the_token_of_the_web_server_comes_from_text_from_a_file_or_from_the_surroundings(
    load: Load, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"of-the-settings-{CANARY}\n")
    (tmp_path / "other").write_text(f"of-the-variable-{CANARY}\n")
    file = f"web: {{token_file: {tmp_path / 'token'}}}"
    named = KEY | {"WATCHER_WEB__TOKEN_FILE": str(tmp_path / "other")}

    def token(text: str, environ: dict[str, str] = KEY) -> str | None:
        given = load(text, environ).web.token
        return given.get_secret_value() if given else None

    assert token("web: {port: 1}") is None
    assert token(f"web: {{token: in-the-open-{CANARY}}}") == f"in-the-open-{CANARY}"
    assert token(file) == f"of-the-settings-{CANARY}"
    assert token(file, named) == token("web: {}", named) == f"of-the-variable-{CANARY}"
    assert CANARY not in effective(load(file, named))


def test_lists_come_from_variables_as_json_and_a_glob_that_looks_like_one_stays_a_glob(load: Load) -> None:
    environ = KEY | {
        "WATCHER_RECEIVERS": '[{"name": "team", "urls": ["json://h"]}]',
        "WATCHER_CANCEL__NEVER": "[ab]*",
        "WATCHER_WEB__HOST": "",
    }
    settings = load("receivers: [{name: old, urls: 'json://old'}]", environ)

    assert [receiver.name for receiver in settings.receivers] == ["team"]
    assert settings.cancel.never == ("[ab]*",)
    assert settings.web.host == "127.0.0.1"


def test_names_that_others_set_are_no_settings(load: Load) -> None:
    environ = KEY | {
        "WATCHER_STATE_DIR": "/x",
        "WATCHER_SERVICE_HOST": "10.0.0.1",
        "WATCHER_SERVICE_PORT_HTTP": "80",
        "WATCHER_PORT": "tcp://10.0.0.1:80",
        "WATCHER_PORT_80_TCP_ADDR": "10.0.0.1",
        "WATCHER_MINE": "127.0.0.9",
    }

    assert load("web: {host: '${WATCHER_MINE}'}", environ).web.host == "127.0.0.9"


def test_variables_are_filled_in_with_defaults_and_an_escape(load: Load) -> None:
    settings = load(
        """
accounts:
  - name: a
    labels: {one: "${ONE}", two: "${TWO:-2}", none: "${TWO:-}", plain: "$${ONE}", part: "a-${ONE}-${ONE}", dollar: $5}
""",
        KEY | {"ONE": "1", "TWO": ""},
    )

    assert settings.accounts[0].labels == {
        "one": "1",
        "two": "2",
        "none": "",
        "plain": "${ONE}",
        "part": "a-1-1",
        "dollar": "$5",
    }


def test_yaml_means_what_a_person_reads(load: Load) -> None:
    settings = load(
        """
defaults: &bounds {min_progress: 1e-2, max_progress: .5}
""".replace("defaults: ", "cancel: ")
        + """
jobs:
  - {name: "no", cancel: {<<: *bounds, mode: off}, match: {suffixes: [off, 010, 12:30:00], created_after: 2026-01-02}}
web: {enabled: yes}
"""
    )

    assert settings.cancel.min_progress == 0.01
    assert settings.jobs[0].cancel.max_progress == 0.5
    assert settings.jobs[0].cancel.mode is CancelMode.OFF
    assert settings.jobs[0].match.suffixes == ("off", "010", "12:30:00")
    assert settings.jobs[0].match.created_after == datetime(2026, 1, 2, tzinfo=UTC)
    assert settings.web.enabled


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~"])
def test_an_empty_file_is_a_file_without_settings(load: Load, text: str) -> None:
    assert load(text).web.port == 8321


def test_listed_rules_run_and_no_others(load: Load) -> None:
    settings = load(
        """
rules:
  slow: {minimum: 1m30s, limit: 90, factor: 2, severity: critical, patience: {evals: 2, wait: 5s}}
  rare:
  strict: {rule: slow, strictness: high}
"""
    )

    patience = Patience(evals=2, wait=timedelta(seconds=5))
    assert rules(settings, settings.jobs[0]) == (
        Slow(
            minimum=timedelta(seconds=90),
            limit=timedelta(seconds=90),
            factor=2,
            severity=Severity.CRITICAL,
            patience=patience,
        ),
        Slow(name="strict", strictness="high"),
        Rare(),
    )
    assert settings.rules_on(SubjectKind.ACCOUNT) == ()


def test_a_selection_sets_rules_on_top_and_switches_them_off_and_on(load: Load) -> None:
    settings = load(
        """
rules: {slow: {factor: 2, minimum: 1m}, broken: , strict: {rule: slow}}
jobs:
  - {name: a, match: {ids: [ft-a*]}, rules: {slow: {minimum: 2m}, broken: off, strict: {factor: 9}, rare: }}
  - {name: b, rules: {rare: off}}
"""
    )

    first, second = settings.jobs
    assert rules(settings, first) == (
        Slow(factor=2, minimum=timedelta(minutes=2)),
        Slow(name="strict", factor=9),
        Rare(),
    )
    assert rules(settings, second) == (Broken(), Slow(factor=2, minimum=timedelta(minutes=1)), Slow(name="strict"))


def test_a_variable_that_sets_one_threshold_switches_no_other_rule_off(load: Load) -> None:
    one = KEY | {"WATCHER_RULES__SLOW__FACTOR": "7"}

    refined = load("", one)
    assert rules(refined, refined.jobs[0]) == (Broken(), Slow(factor=7))
    listed = load("rules: {slow: {minimum: 1s}}", one)
    assert rules(listed, listed.jobs[0]) == (Slow(minimum=timedelta(seconds=1), factor=7),)
    whole = load("", KEY | {"WATCHER_RULES": '{"slow": null}'})
    assert rules(whole, whole.jobs[0]) == (Slow(),)


@pytest.mark.parametrize(
    ("criteria", "job", "taken"),
    [
        pytest.param("{}", {}, True, id="no criteria fit all"),
        pytest.param("{ids: ft-*, suffixes: [a*, b*]}", {"suffix": "beta"}, True, id="any glob of each"),
        pytest.param("{ids: ft-*, suffixes: [a*, b*]}", {"suffix": "Beta"}, False, id="letter case matters"),
        pytest.param("{ids: ft-2}", {}, False, id="another id"),
        pytest.param("{models: '*llama*'}", {"model": None}, False, id="a model that is not known"),
        pytest.param("{suffixes: ''}", {"suffix": None}, True, id="no suffix is an empty one"),
        pytest.param(
            "{created_after: 2026-01-01, created_before: 2026-01-02T00:00:00+01:00}",
            {"created_at": datetime(2026, 1, 1, 22, tzinfo=UTC)},
            True,
            id="within, across time zones",
        ),
        pytest.param(
            "{created_before: 2026-01-01}", {"created_at": datetime(2026, 1, 1, tzinfo=UTC)}, False, id="the end is out"
        ),
        pytest.param(
            "{created_after: 2026-01-01}", {"created_at": datetime(2025, 1, 1, tzinfo=UTC)}, False, id="too early"
        ),
        pytest.param("{created_after: 2026-01-01}", {}, False, id="a creation time that is not known"),
    ],
)
def test_criteria(load: Load, criteria: str, job: dict[str, object], taken: bool) -> None:  # noqa: FBT001 - a table
    settings = load(f"jobs: [{{name: a, match: {criteria}}}]")
    excluding = load(f"jobs: [{{name: a, exclude: {criteria}}}, {{name: rest}}]")

    assert (settings.selection_of(a_job(**job)) is not None) is taken
    chosen = excluding.selection_of(a_job(**job))
    assert chosen is not None
    assert chosen.name == ("rest" if taken else "a")


def test_a_selections_cancel_is_laid_over_the_general_one_and_never_lists_add_up(load: Load) -> None:
    settings = load(
        """
cancel: {mode: observe, max_per_hour: 1, never: ft-keep}
jobs:
  - {name: a, match: {ids: ft-a}, cancel: {mode: enforce, max_progress: 0.5, never: [prod-*]}}
  - name: b
"""
    )

    first, second = settings.jobs
    assert settings.cancel_policy(first) == CancelPolicy(
        mode=CancelMode.ENFORCE, max_progress=0.5, max_per_hour=1, never=("ft-keep", "prod-*")
    )
    assert settings.cancel_policy(second) == CancelPolicy(mode=CancelMode.OBSERVE, max_per_hour=1, never=("ft-keep",))


def test_routes_become_those_of_the_router(load: Load) -> None:
    settings = load(
        """
receivers: [{name: a, urls: json://a}, {name: b, urls: [json://b, json://c]}]
route:
  send_resolved: false
  routes:
    - {match: {severity: [critical, warn*], model: "*llama*"}, receivers: b, continue: true}
    - {receivers: [a, b]}
"""
    )

    first, second, last = settings.routing().routes
    assert first.matchers == (Matcher("severity", ("critical", "warn*")), Matcher("model", ("*llama*",)))
    assert (first.receivers, first.go_on) == (("b",), True)
    assert (second.matchers, second.receivers, second.go_on) == ((), ("a", "b"), False)
    assert (last.matchers, last.receivers) == ((), ("a",))
    assert [route.send_resolved for route in settings.routing().routes] == [False, False, False]


def test_a_route_inherits_what_it_does_not_set(load: Load) -> None:
    settings = load(
        """
receivers: [{name: a, urls: json://a}, {name: b, urls: json://b}]
mute_times: [{name: night, from: "22:00", to: "06:00", zone: Europe/Berlin, days: [mon, fri]}]
route:
  repeat_interval: 1h
  group_by: [account, rule]
  routes:
    - {match: {severity: critical}, unless: {suffix: "*-test"}, receivers: b, repeat_interval: null, group_wait: 0s}
    - {match: {severity: info}, receivers: a, mute_times: night, escalate: {to: b, after: 10m}}
"""
    )

    loud, quiet, rest = settings.routing().routes
    assert (loud.timing.repeat_interval, loud.timing.group_wait) == (None, timedelta(0))
    assert loud.matchers[1] == Matcher("suffix", ("*-test",), negated=True)
    assert loud.group_by == quiet.group_by == rest.group_by == ("account", "rule")
    assert quiet.timing.repeat_interval == rest.timing.repeat_interval == timedelta(hours=1)
    assert (quiet.escalate_to, quiet.timing.escalate_after) == ("b", timedelta(minutes=10))
    assert [mute.name for mute in quiet.mute_times] == ["night"]
    assert (loud.mute_times, rest.mute_times) == ((), ())


def test_a_link_may_be_nothing(load: Load) -> None:
    assert load().links.job.format(job_id="ft-1") == "https://api.together.ai/fine-tuning/ft-1"
    assert load("links: {job: ''}").links.job == ""


def test_offline_nothing_is_asked_of_accounts_and_receivers(load: Load) -> None:
    text = """
accounts: [{name: a, api_key: "${NOT_SET}"}]
receivers: [{name: r, urls: ["${WATCHER_ALSO_NOT_SET}"]}]
route: {receiver: nobody}
rules: {slow: }
"""
    settings = load(text, {"WATCHER_ALSO_NOT_SET": "", "WATCHER_WEB__PORT": "0"}, offline=True)

    assert rules(settings, settings.jobs[0]) == (Slow(),)
    assert settings.accounts[0].api_key.get_secret_value() == ""


def test_the_effective_settings_show_all_but_secrets_and_load_again(load: Load) -> None:
    text = f"""
accounts: [{{name: a, api_key: sk-{CANARY}-1, interval: 90}}]
receivers: [{{name: r, urls: [slack://{CANARY}-2/b/c, console://]}}]
"""
    text += """
rules: {strict: {rule: slow, severity: critical}, broken: , unseen: }
jobs: [{name: x, rules: {broken: off, strict: {factor: 5}, rare: }, cancel: {mode: observe, never: "a*"}}]
route: {routes: [{match: {rule: strict}, receivers: r, continue: true}]}
mute_times: [{name: night, from: "22:30", to: "06:00"}]
digests: [{name: morning, receiver: r, kind: daily, at: "08:00"}]
store: {path: /var/x.db}
"""
    settings = load(text)
    shown = effective(settings)

    assert CANARY not in shown
    assert CANARY not in repr(settings)
    assert "slack://**********" in shown
    again = load(shown.replace("api_key: '**********'", f"api_key: {CANARY}"))
    assert effective(again) == shown
    assert rules(again, again.jobs[0]) == rules(settings, settings.jobs[0])


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("30s", 30, "30s"),
        ("1h30m", 5400, "1h30m"),
        (" 2 d ".replace(" ", ""), 172800, "2d"),
        ("250ms", 0.25, "250ms"),
        ("0.5", 0.5, "500ms"),
        (90, 90, "1m30s"),
        (1.5, 1.5, "1s500ms"),
        ("1W", 604800, "7d"),
        (0, 0, "0s"),
        (timedelta(minutes=1), 60, "1m"),
    ],
)
def test_durations(text: object, seconds: float, shown: str) -> None:
    duration = parse_duration(text)

    assert duration == timedelta(seconds=seconds)
    assert format_duration(duration) == shown


@pytest.mark.parametrize(
    "bad", ["", "soon", "5 parsecs", "-1s", -1, True, None, [], "nan", float("inf"), 1e300, "9e99"]
)
def test_what_is_no_duration(bad: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 30s"):
        parse_duration(bad)


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        ("/o", {"WATCHER_STATE_DIR": "/w", "STATE_DIRECTORY": "/s"}, "/o"),
        (None, {"WATCHER_STATE_DIR": "/w", "STATE_DIRECTORY": "/s", "XDG_STATE_HOME": "/x"}, "/w"),
        (None, {"STATE_DIRECTORY": "/s:/t", "XDG_STATE_HOME": "/x"}, "/s"),
        (None, {"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/watcher"),
        (None, {"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/watcher"),
        (None, {"WATCHER_STATE_DIR": "", "HOME": "/h"}, "/h/.local/state/watcher"),
    ],
)
def test_state_directory(option: str | None, environ: dict[str, str], expected: str) -> None:
    assert state_dir(Path(option) if option else None, environ) == Path(expected)

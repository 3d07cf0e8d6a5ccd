"""What people get to read when a configuration is wrong: where, which key, what value, what was expected; no secret."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.leaks import CANARY
from tests.rulebook import BOOK
from watcher.service.errors import ConfigError
from watcher.settings import load_settings

KEY = {"TOGETHER_API_KEY": CANARY}
Report = Callable[..., list[str]]


def with_word(text: str) -> str:
    """The tables below say `planted` for short."""
    return re.sub(r"planted(?!-canary)", CANARY, text)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    def _report(text: str = "", environ: dict[str, str] | None = None) -> list[str]:
        path = tmp_path / "w.yaml"
        path.write_text(with_word(text))
        given = {name: with_word(value) for name, value in (KEY if environ is None else environ).items()}
        with pytest.raises(ConfigError) as caught:
            load_settings(path, given, rules=BOOK, docker_secrets=tmp_path / "secrets")
        assert "planted" not in str(caught.value)
        assert caught.value.__cause__ is None
        lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
        return [line.strip() for line in lines]

    return _report


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("webb: {port: 1}", 'w.yaml:1: webb: unknown key; did you mean "web"?', id="a misspelt section"),
        pytest.param(
            "\nweb:\n  prot: 1", 'w.yaml:3: web.prot: unknown key; did you mean "port"?', id="a misspelt key, its line"
        ),
        pytest.param(
            "web: {zzz: planted}",
            "w.yaml:1: web.zzz: unknown key; expected one of enabled, host, port",
            id="an unknown key like no other",
        ),
        pytest.param("web: {port: http}", "w.yaml:1: web.port: 'http': expected a whole number", id="a wrong type"),
        pytest.param("web: {port: 70000}", "w.yaml:1: web.port: 70000: expected at most 65535", id="out of bounds"),
        pytest.param("web: 5", "w.yaml:1: web: 5: expected a mapping of keys", id="a number for a section"),
        pytest.param("web: planted", "w.yaml:1: web: text: expected a mapping of keys", id="text for a section"),
        pytest.param("web: {host: [planted]}", "w.yaml:1: web.host: a list: expected text", id="a list for text"),
        pytest.param("log: {level: loud}", "w.yaml:1: log.level: 'loud': expected 'debug', 'info'", id="a closed set"),
        pytest.param("log: {level: }", "w.yaml:1: log.level: nothing: expected 'debug', 'info'", id="nothing"),
        pytest.param("jobs: []", "w.yaml:1: jobs: a list: expected at least one entry", id="no entry at all"),
        pytest.param("jobs: [{}]", "w.yaml:1: jobs[0].name: expected a value: this key is required", id="no name"),
        pytest.param("jobs: [{name: a b}]", "w.yaml:1: jobs[0].name: 'a b': expected 1 to 64 letters", id="a bad name"),
        pytest.param(
            "jobs: [{name: a, match: {ids: [2024]}}]",
            "w.yaml:1: jobs[0].match.ids[0]: 2024: expected text (quote what looks like a number)",
            id="a number for a glob",
        ),
        pytest.param(
            "jobs: [{name: a, match: {created_after: yesterday}}]",
            "w.yaml:1: jobs[0].match.created_after: 'yesterday': expected a valid datetime",
            id="no date",
        ),
        pytest.param(
            "jobs: [{name: a, match: {created_after: 2026-02-01, created_before: 2026-01-01}}]",
            "w.yaml:1: jobs[0].match: expected created_after before created_before",
            id="an empty period",
        ),
        pytest.param(
            "accounts: [{name: a, interval: 5 parsecs}]",
            "w.yaml:1: accounts[0].interval: '5 parsecs': expected a duration such as 30s",
            id="no duration",
        ),
        pytest.param(
            "accounts: [{name: a, interval: 10ms}]",
            "w.yaml:1: accounts[0].interval: '10ms': expected at least 50ms",
            id="too often",
        ),
        pytest.param(
            "accounts: [{name: a, base_url: 'ftp://u:planted@h/p?planted=1'}]",
            "w.yaml:1: accounts[0].base_url: 'ftp://…@h/p?…': expected an address such as https://api.together.ai",
            id="an address with secrets in it",
        ),
        pytest.param(
            "accounts: [{name: a, api_key: ''}]", "accounts[0].api_key: expected a key that is not", id="empty"
        ),
        pytest.param("accounts: [{name: a, api_key: [planted]}]", "accounts[0].api_key: a list: expected", id="listed"),
        pytest.param(
            "accounts: [{name: a, api_ky: planted}]",
            'accounts[0].api_ky: unknown key; did you mean "api_key"?',
            id="ky",
        ),
        pytest.param(
            "web: {token: short}",
            "w.yaml:1: web.token: (hidden): expected at least 16 characters of ASCII without blanks",
            id="a short token",
        ),
        pytest.param(
            "web: {token: planted-0123456789, token_file: /nonexistent/token}",
            "w.yaml:1: web.token_file: expected one of token and token_file, not both",
            id="two ways to the token",
        ),
        pytest.param(
            "web: {token_file: /nonexistent/token}",
            "w.yaml:1: web.token_file: '/nonexistent/token': expected a readable file (No such file",
            id="a file for the token that is not there",
        ),
        pytest.param("accounts: [planted]", "w.yaml:1: accounts[0]: text: expected a mapping of keys", id="only a key"),
        pytest.param(
            "accounts: [{name: a, api_key: planted, api_key_env: X}]",
            "accounts[0].api_key_env: expected one of api_key, api_key_env and api_key_file, not api_key and api_key",
            id="two ways to a key",
        ),
        pytest.param(
            "accounts: [{name: a, api_key_env: NOT_SET}]",
            "accounts[0].api_key_env: expected the environment variable NOT_SET to be set",
            id="a variable for the key that is not set",
        ),
        pytest.param(
            "accounts: [{name: a, api_key_file: /nonexistent/key}]",
            "w.yaml:1: accounts[0].api_key_file: '/nonexistent/key': expected a readable file (No such file",
            id="a file for the key that is not there",
        ),
        pytest.param(
            f"accounts: [{{name: a}}, {{name: b, api_key: {CANARY}}}]",
            "accounts[1].api_key: expected another key than that of account a: its jobs would be watched twice",
            id="one key twice",
        ),
        pytest.param(
            "receivers: [{name: a, urls: json://h}, {name: a, urls: json://i}]",
            "w.yaml:1: receivers[1].name: 'a': expected a name that is not that of receivers[0]",
            id="one name twice",
        ),
        pytest.param(
            "receivers: [{name: a, urls: [planted]}]",
            "w.yaml:1: receivers[0].urls[0]: (hidden): expected an Apprise URL such as",
            id="no URL",
        ),
        pytest.param(
            "receivers: [{name: a, urls: []}]", "receivers[0].urls: a list: expected at least one", id="no URLs"
        ),
        pytest.param("route: {receiver: tem}", "route.receiver: 'tem': unknown receiver; expected one of", id="nobody"),
        pytest.param(
            "route: {routes: [{receivers: consl}]}",
            "route.routes[0].receivers: 'consl': unknown receiver; did you mean \"console\"?",
            id="a route to nobody",
        ),
        pytest.param(
            "route: {routes: [{match: {rule: slw}, receivers: console}]}",
            "w.yaml:1: route.routes[0].match.rule: 'slw': matches no rule; did you mean \"slow\"?",
            id="a route for a rule that is not there",
        ),
        pytest.param(
            "route: {routes: [{match: {rule: rare}, receivers: console}]}",
            "route.routes[0].match.rule: 'rare': matches no rule",
            id="a route for a rule that does not run",
        ),
        pytest.param(
            "route: {routes: [{match: {severity: bad*}, receivers: console}]}",
            "match.severity: 'bad*': matches no severity; expected one of critical, info, warning",
            id="a route for a severity that there is not",
        ),
        pytest.param(
            "route: {routes: [{match: {accounts: a}, receivers: console}]}",
            'w.yaml:1: route.routes[0].match.accounts: unknown key; did you mean "account"?',
            id="a route on a label that there is not",
        ),
        pytest.param(
            "cancel: {mode: maybe}",
            "w.yaml:1: cancel.mode: 'maybe': expected 'off', 'observe', 'propose' or 'enforce'",
            id="a mode that there is not",
        ),
        pytest.param(
            "jobs: [{name: a, cancel: {veto_window: 0}}]",
            "w.yaml:1: jobs[0].cancel.veto_window: 0: expected at least 1ms",
            id="no time to say no",
        ),
        pytest.param(
            "cancel: {min_progress: 0.95}",
            "w.yaml:1: cancel: 0.95 and 0.9: expected min_progress below max_progress",
            id="bounds the wrong way round",
        ),
        pytest.param(
            "jobs: [{name: a, cancel: {max_progress: 0.01}}]",
            "w.yaml:1: jobs[0].cancel: 0.02 and 0.01: expected min_progress below max_progress",
            id="bounds of a selection against the general ones",
        ),
        pytest.param("cancel: {max_progress: 90}", "cancel.max_progress: 90: expected at most 1", id="%"),
        pytest.param("cancel: {max_progress: .nan}", "cancel.max_progress: nan: expected a finite number", id="nan"),
        pytest.param(
            "links: {job: 'http://x/{id}'}", "links.job: 'http://x/{id}': expected an address with", id="link"
        ),
        pytest.param(
            "links: {job: 'http://x/{'}", "links.job: 'http://x/{': expected an address with", id="open brace"
        ),
        pytest.param("rules: [slow]", "w.yaml:1: rules: a list: expected a mapping of keys", id="rules as a list"),
        pytest.param("rules: {slo: }", 'w.yaml:1: rules.slo: unknown rule; did you mean "slow"?', id="an unknown rule"),
        pytest.param(
            "rules: {x: {rule: slo}}",
            'w.yaml:1: rules.x.rule: unknown rule; did you mean "slow"?',
            id="an unknown kind",
        ),
        pytest.param(
            "rules: {slow: off}", "rules.slow: 'off': expected settings or nothing: leave a rule out", id="off on top"
        ),
        pytest.param(
            "rules: {slow: planted}", "rules.slow: text: expected a mapping of settings", id="text for a rule"
        ),
        pytest.param(
            "rules: {slow: {minimums: 5s}}",
            'w.yaml:1: rules.slow.minimums: unknown key; did you mean "minimum"?',
            id="an unknown setting of a rule",
        ),
        pytest.param("rules: {slow: {name: x}}", "w.yaml:1: rules.slow.name: unknown key", id="the key is the name"),
        pytest.param("rules: {slow: {factor: -1}}", "rules.slow.factor: -1: expected at least 0", id="negative"),
        pytest.param(
            "rules: {slow: {strictness: x}}", "rules.slow.strictness: 'x': expected 'low' or 'high'", id="word"
        ),
        pytest.param("rules: {slow: {minimum: x}}", "rules.slow.minimum: 'x': expected a duration such as", id="time"),
        pytest.param(
            "rules: {slow: {patience: {evls: 1}}}",
            'w.yaml:1: rules.slow.patience.evls: unknown key; did you mean "evals"?',
            id="an unknown setting deep in a rule",
        ),
        pytest.param(
            "rules: {broken: {rows: 0}}", "w.yaml:1: rules.broken: expected rows above 0", id="a rule objects"
        ),
        pytest.param(
            "jobs: [{name: a, rules: {slw: off}}]",
            'w.yaml:1: jobs[0].rules.slw: unknown rule; did you mean "slow"?',
            id="an unknown rule switched off",
        ),
        pytest.param(
            "jobs: [{name: a, rules: {unseen: {after: 1}}}]",
            "w.yaml:1: jobs[0].rules.unseen: expected a rule on jobs; this one is on the account: set it under rules",
            id="a rule on accounts in a selection",
        ),
        pytest.param("jobs: [{name: a, rules: {slow: 5}}]", "jobs[0].rules.slow: 5: expected a mapping", id="a number"),
        pytest.param("jobs: [{name: a, rules: 5}]", "w.yaml:1: jobs[0].rules: 5: expected a mapping", id="no rules"),
        pytest.param(
            "log: {}\nlog: {}", "w.yaml:2: log: given twice, first in line 1: expected once", id="a key twice"
        ),
        pytest.param("? [a]\n: b", "w.yaml:1: expected keys that are words", id="a key that is a list"),
        pytest.param(
            "web: {host: '${NOT_SET}'}",
            "w.yaml:1: web.host: expected the environment variable NOT_SET to be set, or a default: ${NOT_SET:-…}",
            id="a variable that is not set",
        ),
        pytest.param("web: {host: '${A-B}'}", "web.host: expected ${NAME} or ${NAME:-default}", id="odd substitution"),
        pytest.param("web: {host: '${A'}", "web.host: expected ${NAME} or ${NAME:-default}", id="open substitution"),
    ],
)
def test_one_mistake_is_one_line(report: Report, text: str, expected: str) -> None:
    head, *lines = report(text)

    assert head == "1 problem in the configuration:"
    assert len(lines) == 1
    assert expected in lines[0]


def test_all_mistakes_are_told_at_once(report: Report) -> None:
    lines = report(
        """
accounts: [{name: a b, intervals: 1, api_key: planted}]
web: {port: x, host: "${NOT_SET}"}
rules: {slo: , slow: {factor: y}}
cancel: {mode: maybe}
nonsense: planted
""",
        KEY | {"WATCHER_LOG__LEVEL": "loud", "WATCHER_WEBB": "planted"},
    )

    assert lines[0] == "10 problems in the configuration:"
    wanted = ("accounts[0].name", "accounts[0].intervals", "web.port", "web.host", "rules.slo:", "rules.slow.factor")
    for path in (*wanted, "cancel.mode", "nonsense", "environment variable WATCHER_LOG__LEVEL: log.level: 'loud'"):
        assert sum(path in line for line in lines) == 1, path
    assert 'environment variable WATCHER_WEBB: unknown setting; did you mean "WATCHER_WEB"?' in lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: [1\n'planted", "w.yaml:2:25: expected YAML: expected ',' or ']', but got", id="an open quote"),
        pytest.param("a: *planted", "w.yaml:1:4: expected YAML: found undefined alias '…'", id="an unknown alias"),
        pytest.param("a: !planted x", "w.yaml:1:4: expected YAML: could not determine a constructor", id="a tag"),
        pytest.param(
            "a: 1\n b: planted", "w.yaml:2:3: expected YAML: mapping values are not allowed", id="indentation"
        ),
        pytest.param("\tx: planted", "w.yaml:1:1: expected YAML: found character '\\t'", id="a tab"),
        pytest.param("a: b\n---\nc: d", "w.yaml:2:1: expected YAML: but found another document", id="two documents"),
        pytest.param("- planted", "w.yaml:1: expected a mapping of keys at the top", id="a list"),
        pytest.param("planted", "w.yaml:1: expected a mapping of keys at the top", id="a word"),
        pytest.param("web: &a [*a]", "w.yaml:1: expected an anchor that does not contain itself", id="a loop"),
        pytest.param("a: \x07", "w.yaml: expected YAML text, found a character that YAML does not allow", id="a bell"),
    ],
)
def test_what_is_no_yaml(report: Report, text: str, expected: str) -> None:
    assert report(text)[0].startswith(expected)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    with pytest.raises(ConfigError, match=r"missing\.yaml: expected a readable settings file \(No such file"):
        load_settings(missing, KEY)
    with pytest.raises(ConfigError, match=r"expected a readable settings file \(Is a directory"):
        load_settings(tmp_path, KEY)
    missing.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"missing\.yaml: expected UTF-8 text"):
        load_settings(missing, KEY)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(
            {}, "w.yaml: accounts[0].api_key: expected a key: set the variable TOGETHER_API_KEY or", id="no key"
        ),
        pytest.param(
            KEY | {"WATCHER_PLL__BURST": "planted"},
            "environment variable WATCHER_PLL__BURST: unknown setting; expected one of WATCHER_ACCOUNTS",
            id="an unknown variable",
        ),
        pytest.param(
            KEY | {"WATCHER_WEB__PRT": "planted"},
            'environment variable WATCHER_WEB__PRT: web.prt: unknown key; did you mean "port"?',
            id="an unknown key in a variable",
        ),
        pytest.param(
            KEY | {"WATCHER_WEB_PORT": "1"}, "environment variable WATCHER_WEB_PORT: unknown setting; did", id="one _"
        ),
        pytest.param(
            KEY | {"WATCHER_WEB__PORT": "x"},
            "environment variable WATCHER_WEB__PORT: web.port: 'x': expected a whole number",
            id="a wrong type in a variable",
        ),
        pytest.param(
            KEY | {"WATCHER_RULES__SLO__FACTOR": "1"},
            'environment variable WATCHER_RULES__SLO__FACTOR: rules.slo: unknown rule; did you mean "slow"?',
            id="an unknown rule in a variable",
        ),
        pytest.param(
            KEY | {"WATCHER_RECEIVERS": json.dumps([{"name": "a", "urls": ["planted"]}])},
            "environment variable WATCHER_RECEIVERS: receivers[0].urls[0]: (hidden): expected an Apprise URL",
            id="a bad value inside JSON",
        ),
        pytest.param(
            KEY | {"WATCHER_RECEIVERS": "[planted"},
            "environment variable WATCHER_RECEIVERS: receivers: text: expected a list",
            id="broken JSON",
        ),
        pytest.param(
            KEY | {"WATCHER_JOBS__0__NAME": "planted"},
            "environment variable WATCHER_JOBS__0__NAME: jobs: a mapping: expected a list",
            id="one entry of a list",
        ),
        pytest.param(
            {"TOGETHER_API_KEY_FILE": "/nonexistent"},
            "environment variable TOGETHER_API_KEY_FILE: '/nonexistent': expected a readable file (No such file",
            id="a secret file that is not there",
        ),
        pytest.param(
            KEY | {"TOGETHER_BASE_URL": "planted?"},
            "environment variable TOGETHER_BASE_URL: accounts[0].base_url: ",
            id="a bad address from the environment",
        ),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(report: Report, environ: dict[str, str], expected: str) -> None:
    if "TOGETHER_BASE_URL" in environ:
        environ = environ | {"TOGETHER_BASE_URL": "no-address"}
    head, *lines = report("", environ)

    assert head == "1 problem in the configuration:"
    assert lines[0].startswith(expected)


def test_one_entry_of_a_list_in_the_file_cannot_be_set_by_a_variable(report: Report) -> None:
    lines = report("jobs: [{name: a}]", KEY | {"WATCHER_JOBS__0__NAME": "b"})

    assert lines[1].startswith("environment variable WATCHER_JOBS__0__NAME: expected the whole list as JSON")


def test_mistakes_in_secret_files_name_the_file(report: Report, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "watcher_web__port").write_text(f"{CANARY}-not-a-port")
    (tmp_path / "secrets" / "watcher_webb").write_text(CANARY)
    (tmp_path / "secrets" / "watcher_log__level").write_text("\n")
    lines = report()

    assert lines[0] == "3 problems in the configuration:"
    assert "secret file secrets/watcher_web__port: web.port: '(hidden)': expected a whole number" in lines
    assert 'secret file secrets/watcher_webb: unknown setting; did you mean "WATCHER_WEB"?' in lines
    assert any("expected a file that is not empty" in line for line in lines)


def test_the_value_of_a_variable_in_the_file_is_shown_as_it_was_written(report: Report) -> None:
    lines = report("web: {port: '${PORT}'}", KEY | {"PORT": "planted"})

    assert lines[1] == "w.yaml:1: web.port: '${PORT}': expected a whole number"


def test_a_known_secret_in_the_wrong_place_is_not_shown(report: Report) -> None:
    lines = report("accounts: [{name: a, api_key: sk-planted-x, interval: sk-planted-x}]")

    assert "accounts[0].interval: '(hidden)': expected a duration" in lines[1]

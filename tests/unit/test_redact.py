"""Secrets and addresses taken out of text."""

import pytest

from watcher.notify.redact import redact, redact_url, url_secrets, url_words


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("slack://T1/B2/C3secret", "slack://***", id="a host that is a token"),
        pytest.param("json://user:pass@host/path?+Authorization=x", "json://***", id="Apprise's privacy mode shows it"),
        pytest.param("https://user:pass@host/a", "https://host/a", id="a password"),
        pytest.param("https://host/a?key=s3cret#frag", "https://host/a?***", id="a query"),
        pytest.param("https://host/services/T1JJ3T3L2/x", "https://host/***", id="a token in the path"),
        pytest.param(
            "https://host/v1/fine-tunes/ft-1a2b3c4d5e", "https://host/v1/fine-tunes/ft-1a2b3c4d5e", id="a job"
        ),
        pytest.param("http://127.0.0.1:8321", "http://127.0.0.1:8321", id="a page of ours"),
        pytest.param("no address", "***", id="not an address"),
    ],
)
def test_an_address_shows_only_what_is_safe(url: str, expected: str) -> None:
    assert redact_url(url) == expected


def test_known_secrets_go_in_any_letter_case_and_the_longest_first() -> None:
    shown = redact("got TOKEN-LONG and token, see slack://a/b", ["token", "token-long", "", "to"])

    assert shown == "got *** and ***, see slack://***"


def test_text_without_secrets_is_left_alone() -> None:
    assert redact("step 420: loss 5.31 (a:b)", []) == "step 420: loss 5.31 (a:b)"


def test_every_word_of_an_address_is_known_decoded_too() -> None:
    words = url_words("json://user:p%40ssword@127.0.0.1:80/path?key=value")

    assert {"p%40ssword", "p@ssword", "path", "value", "127.0.0.1"} <= words


def test_words_for_logs_leave_machines_and_short_words_in_place() -> None:
    secrets = url_secrets("mailto://robot:longpassword@smtp.example.org:587?to=team@x.example")

    assert "longpassword" in secrets
    assert not {"smtp.example.org", "robot", "team"} & secrets
    assert "T1JJ3T3L2" in url_secrets("slack://T1JJ3T3L2/x")

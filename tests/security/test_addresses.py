"""Nobody makes the watcher ask what it must not: by configuration, reload, redirect, or the words of the API."""

import json
from pathlib import Path

import pytest

from tests.leaks import CANARY
from tests.loopback import Answer, Request, SkippingClock, ok, serving
from tests.together import ID, KEY, provider
from watcher.service.errors import ConfigError, ProviderError
from watcher.settings import load_settings
from watcher.settings.addresses import forbidden

METADATA = [
    pytest.param("169.254.169.254", id="Amazon, Google, Azure"),
    pytest.param("[fd00:ec2::254]", id="Amazon by IPv6"),
    pytest.param("[fe80::1]", id="link-local"),
    pytest.param("[::ffff:169.254.169.254]", id="mapped into IPv6"),
    pytest.param("2852039166", id="as one number"),
    pytest.param("0xA9.0xFE.0xA9.0xFE", id="in hexadecimal parts"),
    pytest.param("0251.0376.0251.0376", id="in octal parts"),
    pytest.param("169.254.43518", id="its last parts as one"),
    pytest.param("metadata.google.internal", id="by its name"),
    pytest.param("METADATA.google.internal.", id="by its name, spelt otherwise"),
    pytest.param("100.100.100.200", id="Alibaba"),
    pytest.param("168.63.129.16", id="Azure's wire server"),
]


@pytest.mark.parametrize("host", METADATA)
@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("accounts: [{{name: a, base_url: 'http://{host}/v1'}}]", "accounts[0].base_url"),
        ("heartbeat: {{url: 'http://{host}/{word}'}}", "heartbeat.url"),
        ("receivers: [{{name: r, urls: ['json://user:{word}@{host}/x']}}]", "receivers[0].urls[0]"),
    ],
)
def test_a_configuration_that_names_a_metadata_service_is_refused(
    tmp_path: Path, settings: str, key: str, host: str
) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(settings.format(host=host, word=CANARY))
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {"TOGETHER_API_KEY": CANARY}, docker_secrets=tmp_path)

    assert key in str(caught.value)
    assert "expected a host that may be asked" in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "api.together.ai",
        "127.0.0.1",
        "[::1]",
        "10.0.0.7",
        "192.168.1.9",
        "receiver",
        "8.8.8.8",
        "169.255.0.1",
        "1.2.3.4.5",
    ],
)
def test_other_addresses_may_be_asked(host: str) -> None:
    """A receiver on a private network is what most people have."""
    assert forbidden(f"https://{host}/x") is None


@pytest.mark.parametrize(
    "url",
    [
        "tgram://2852039166:AAbbCCddEE/12345678",  # as a number, the id of this bot spells 169.254.169.254
        "discord://2852039166/AAbbCC",
        "slack://metadata/BBBB/CCCC",
    ],
)
def test_the_id_of_a_bot_is_no_address(url: str) -> None:
    assert forbidden(url) is None
    assert forbidden(url.replace("2852039166", "169.254.169.254").replace("metadata", "metadata.goog")) is not None


async def test_a_redirect_to_another_host_is_not_followed_and_the_key_stays_here() -> None:
    async with serving(lambda _: ok({"data": []})) as other:

        def away(_: Request) -> Answer:
            return Answer(status=307, headers={"location": f"{other.url}/v1/fine-tunes"}, body=b"")

        async with serving(away) as server:
            client = provider(server.url, SkippingClock())
            with pytest.raises(ProviderError):
                await client.list_jobs()
            await client.aclose()

    assert other.requests == []
    assert KEY not in json.dumps(server.targets)


async def test_no_address_that_the_api_names_is_ever_asked() -> None:
    """W&B pages, checkpoints, models, data sets: they are text to the watcher."""
    async with serving(lambda _: ok({})) as canary:
        trap = f"{canary.url}/trap"
        event = {"type": "CHECKPOINT_SAVE", "created_at": "2026-07-02T10:05:00Z", "message": trap, "step": 3}
        event |= dict.fromkeys(("wandb_url", "checkpoint_path", "model_path", "tokenized_dataset_path"), trap)
        job = {"id": ID, "status": "running", "created_at": "2026-07-02T10:00:00Z", "events": [event]}
        job |= dict.fromkeys(("wandb_url", "wandb_base_url", "model_output_path", "tokenized_dataset_path"), trap)
        job |= {"next": trap, "next_url": trap, "next_cursor": trap}
        bodies = {"/metrics": {"metrics": [], "next": trap}, "/checkpoints": {"data": [{"step": 3, "path": trap}]}}

        def answer(request: Request) -> Answer:
            ending = next((end for end in bodies if request.target.partition("?")[0].endswith(end)), None)
            if ending:
                return ok(bodies[ending])
            return ok(job if ID in request.target else {"data": [job], "next": trap}, link=f'<{trap}>; rel="next"')

        async with serving(answer) as server:
            client = provider(server.url, SkippingClock())
            await client.list_jobs()
            await client.get_job(ID)
            await client.get_metrics(ID)
            await client.get_checkpoints(ID)
            await client.aclose()

    assert len(server.requests) == 4
    assert canary.requests == []

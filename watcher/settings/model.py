"""The settings as one frozen tree: every key there is, with its type, bounds and default."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from watcher.domain.cancel_policy import CancelMode, CancelPolicy
from watcher.domain.life import Life
from watcher.domain.observations import Snapshot
from watcher.domain.routing import Routing
from watcher.domain.rule import Rule, SubjectKind
from watcher.service.retention import RetentionPolicy
from watcher.settings.addresses import forbidden
from watcher.settings.basics import Globs, Interval, Moment, Name, Part, Positive, Share, as_list, filled
from watcher.settings.durations import Duration
from watcher.settings.living import LifeEntry, lives
from watcher.settings.selecting import fits
from watcher.settings.telling import DigestEntry, InhibitEntry, MuteTimeEntry, RouteTree, routing

DEFAULT_BASE_URL = "https://api.together.ai/v1"
_SHORTEST_TOKEN = 16
T = TypeVar("T")


def _with_version(value: str) -> str:
    # The official clients disagree on who adds the version: either form is taken.
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an address such as https://api.together.ai or http://127.0.0.1:8080/v1")
    _may_be_asked(value)
    return f"{value.rstrip('/').removesuffix('/v1').rstrip('/')}/v1"


def _may_be_asked(url: str) -> None:
    host = forbidden(url)
    if host is not None:
        raise ValueError(f"expected a host that may be asked: {host} is link-local or a cloud's metadata service")


def _web_address(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an address such as https://hc-ping.com/your-uuid")
    _may_be_asked(value.get_secret_value())
    return value


def _target(value: SecretStr) -> SecretStr:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value.get_secret_value()):
        raise ValueError("expected an Apprise URL such as mailtos://…, slack://… or json://…")
    _may_be_asked(value.get_secret_value())
    return value


def _link(value: str) -> str:
    try:
        names = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
    except ValueError:
        names = {""}
    if names - {"job_id"}:
        raise ValueError("expected an address with {job_id} in it, no other braces, or nothing")
    return value


TargetUrl = Annotated[SecretStr, AfterValidator(_target)]


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """For whom it is logged; auto means console when a person looks at stderr, JSON otherwise."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class Account(Part):
    """One API key at Together. `api_key` is filled in from wherever it was; it is empty only when read offline."""

    name: Name
    api_key: SecretStr = SecretStr("")
    api_key_env: str | None = None
    api_key_file: Path | None = None
    base_url: Annotated[str, AfterValidator(_with_version)] = DEFAULT_BASE_URL
    interval: Interval = timedelta(seconds=30)
    timeout: Positive = timedelta(seconds=30)
    max_concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    requests_per_second: Annotated[float, Field(gt=0)] = 10.0
    lookback: Duration = timedelta(hours=1)
    labels: dict[str, str] = Field(default_factory=dict)


class Criteria(Part):
    """What jobs to take: all that is given must fit, each by any of its globs."""

    ids: Globs = ()
    models: Globs = ()
    suffixes: Globs = ()
    created_after: Moment | None = None
    created_before: Moment | None = None


class Cancel(Part):
    """Auto-cancel: off unless it is asked for."""

    mode: CancelMode = CancelMode.OFF
    min_progress: Share = 0.02
    max_progress: Share = 0.9
    max_per_hour: Annotated[int, Field(ge=0)] = 3
    veto_window: Positive = timedelta(minutes=15)
    settle: Positive = timedelta(seconds=60)
    never: Globs = ()


class CancelOverrides(Part):
    """What a selection sets differently; its `never` is added to the general one."""

    mode: CancelMode | None = None
    min_progress: Share | None = None
    max_progress: Share | None = None
    max_per_hour: Annotated[int, Field(ge=0)] | None = None
    veto_window: Positive | None = None
    never: Globs = ()


class Selection(Part):
    """Some jobs, and what is done differently for them. `rules` maps names to settings, nothing, or off."""

    name: Name
    match: Criteria = Criteria()
    exclude: Criteria | None = None
    rules: dict[str, Any] = Field(default_factory=dict)
    cancel: CancelOverrides = CancelOverrides()

    def takes(self, job: Snapshot) -> bool:
        """Whether the job is one of these."""
        return fits(self.match, job) and not (self.exclude is not None and fits(self.exclude, job))


class Receiver(Part):
    """A named list of Apprise URLs."""

    name: Name
    urls: Annotated[tuple[TargetUrl, ...], BeforeValidator(as_list), AfterValidator(filled)]


class Links(Part):
    """Addresses of pages for people."""

    job: Annotated[str, AfterValidator(_link)] = "https://api.together.ai/fine-tuning/{job_id}"


class StoreSettings(Part):
    """Where the database is: `watcher.db` in the state directory unless set."""

    path: Path | None = None


class Heartbeat(Part):
    """An address that is asked for after useful sweeps, so that somebody else notices when the watcher is dead."""

    url: Annotated[SecretStr, AfterValidator(_web_address)] | None = None
    interval: Positive = timedelta(seconds=60)


def _public(value: str) -> str:
    parts = urlsplit(value)
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not plain:
        raise ValueError("expected the address at which people reach the page, such as https://watcher.example.com")
    return value.rstrip("/")


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) < _SHORTEST_TOKEN or not all("!" <= char <= "~" for char in text):
        expected = f"expected at least {_SHORTEST_TOKEN} characters of ASCII without blanks"
        raise ValueError(f"{expected}, such as `openssl rand -hex 32` gives")
    return value


class Web(Part):
    """The page, the JSON API and the probes. `token` is filled in from `token_file`, where that is given."""

    enabled: bool = True
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8321
    public_url: Annotated[str, AfterValidator(_public)] | None = None
    token: Annotated[SecretStr, AfterValidator(_token)] | None = None
    token_file: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The host names of `public_url`, as browsers send them."""
        host = urlsplit(self.public_url).hostname if self.public_url else None
        return (f"[{host}]" if ":" in host else host,) if host else ()


class Retention(Part):
    """What is kept of the past; jobs, their evaluations, events, alerts and cancels are kept for ever."""

    rows: Positive = timedelta(days=30)
    keep_rows: Annotated[int, Field(ge=10, le=100_000)] = 500
    history: Positive = timedelta(days=90)

    def policy(self) -> RetentionPolicy:
        """The same, as the service takes it."""
        return RetentionPolicy(rows=self.rows, keep_rows=self.keep_rows, history=self.history)


class Log(Part):
    """What is written to stderr."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO


class Settings(BaseSettings):
    """All of it. Made by `load_settings` only, which knows where each value came from."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        allow_inf_nan=False,
        case_sensitive=True,
    )

    accounts: Annotated[tuple[Account, ...], AfterValidator(filled)] = (Account(name="default"),)
    rules: dict[str, Any] | None = None
    jobs: Annotated[tuple[Selection, ...], AfterValidator(filled)] = (Selection(name="all"),)
    cancel: Cancel = Cancel()
    receivers: Annotated[tuple[Receiver, ...], AfterValidator(filled)] = (
        Receiver(name="console", urls=(SecretStr("console://"),)),
    )
    route: RouteTree = RouteTree()
    life: tuple[LifeEntry, ...] = ()
    mute_times: tuple[MuteTimeEntry, ...] = ()
    inhibit: tuple[InhibitEntry, ...] | None = None
    digests: tuple[DigestEntry, ...] = ()
    rule_tests: tuple[Path, ...] = ()
    links: Links = Links()
    pictures: bool = True
    store: StoreSettings = StoreSettings()
    retention: Retention = Retention()
    web: Web = Web()
    log: Log = Log()
    heartbeat: Heartbeat = Heartbeat()

    _base_rules: tuple[Rule, ...] = PrivateAttr(default=())
    _job_rules: dict[str, tuple[Rule, ...]] = PrivateAttr(default_factory=dict)
    _secret_files: frozenset[Path] = PrivateAttr(default=frozenset())

    @classmethod
    def settings_customise_sources(  # what the library reads by itself names no origin and overlooks misspelt names
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    def loaded(
        self, base: tuple[Rule, ...], by_selection: Mapping[str, tuple[Rule, ...]], secret_files: Iterable[Path]
    ) -> "Settings":
        """Take over the rules that the loader built and checked, and the files from which it read secrets."""
        self._base_rules = base
        self._job_rules = dict(by_selection)
        self._secret_files = frozenset(secret_files)
        return self

    @property
    def secret_files(self) -> frozenset[Path]:
        """Files of their own from which secrets were read."""
        return self._secret_files

    def rules_for(self, selection: Selection) -> tuple[Rule, ...]:
        """The rules on the jobs of a selection."""
        return tuple(rule for rule in self._job_rules[selection.name] if rule.subject is SubjectKind.JOB)

    def rules_on(self, subject: SubjectKind) -> tuple[Rule, ...]:
        """The rules on an account or on the watcher itself; for jobs, those before any selection's overrides."""
        return tuple(rule for rule in self._base_rules if rule.subject is subject)

    def selection_of(self, job: Snapshot) -> Selection | None:
        """The first selection that takes the job; None when it is not watched."""
        return next((selection for selection in self.jobs if selection.takes(job)), None)

    def cancel_policy(self, selection: Selection) -> CancelPolicy:
        """The policy for the jobs of a selection."""
        own = selection.cancel
        given = {key: value for key, value in own if key != "never" and value is not None}
        general = {key: value for key, value in self.cancel if key not in {"never", "settle", *given}}
        return CancelPolicy(**general, **given, never=(*self.cancel.never, *own.never))

    def lives(self) -> dict[str, Life]:
        """The life of the alerts of each rule that has one of its own, by the rule's name."""
        return lives(self.life, {rule.name for rules in self._job_rules.values() for rule in rules})

    def routing(self) -> Routing:
        """The routes, as the router takes them."""
        return routing(self.route, self.mute_times, self.inhibit, self.receivers[0].name)


def sections() -> dict[str, Iterable[str]]:
    """The top-level keys, each with the keys below it that have names of their own."""
    fields = Settings.model_fields
    return {name: getattr(info.annotation, "model_fields", ()) for name, info in fields.items()}

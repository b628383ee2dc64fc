"""Settings: featurestore.toml, then the environment (FEATURESTORE_ONLINE__STORE=redis), then the caller.

Every key has a default. What a key means is said beside it; docs/reference/config.md is generated from here.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from featurestore.errors import DefinitionError, UsageError, nearest
from featurestore.intervals import parse_duration

FILE_NAME = "featurestore.toml"
SIZE = r"\d+(\.\d+)? ?([kKmMgGtT][iI]?)?[bB]"
"""How an amount of memory is written: "4GB", "512 MiB"."""
MOST_JOBS = 64
"""Instants of a backfill that are computed side by side."""
MOST_PARTITIONS = 512
CONFIG_FORMAT = 1


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except DefinitionError as error:
        raise ValueError(f"{error.what}, such as {error.hint}") from None
    return text


def _positive_duration(text: str) -> str:
    if not parse_duration(_duration(text)).micros:
        raise ValueError("must be longer than nothing")
    return text


def _switch(value: bool | str) -> bool | str:
    """The environment knows text alone."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


class Project(_Section):
    name: str = Field("project", description="the project's name, in manifests and messages")
    registry: str = Field("registry", description="folder of the definitions, relative to the project")
    sql: str = Field("sql", description="folder of the compiled SQL, relative to the project")


class Offline(_Section):
    engine: str = Field(
        "duckdb", pattern="^(duckdb|spark)$", description="the engine that builds training sets and materializes"
    )
    threads: int | None = Field(None, ge=1, description="threads of the engine; default: all cores")
    memory_limit: str = Field(
        "2GB", pattern=f"^{SIZE}$", description="memory the engine may use before it spills to temp_directory"
    )
    temp_directory: str = Field(".featurestore/tmp", description="folder for spilled data, relative to the project")
    window_plan: str = Field(
        "auto",
        pattern="^(auto|pairs|tiles|aligned|frames|sweep|aligned_sweep|split|snapshot)$",
        description="the plan to compute windows by wherever it can serve; auto: chosen from the data",
    )
    snapshot: bool = Field(
        True, description="whether a spine whose rows all ask at one instant is answered by plans made for that"
    )
    partitions: int | None = Field(
        None,
        ge=1,
        le=MOST_PARTITIONS,
        description="into how many partitions, by key, a training set is cut to be built one after the other; default: as many "
        "as memory_limit asks for",
    )
    temp_limit: str = Field("100GB", pattern=f"^{SIZE}$", description="the most that may be spilled there")


class Spark(_Section):
    master: str = Field(
        "local[*]", description="the master of a session of our own: local[N], spark://host:7077, yarn, k8s://…"
    )
    remote: str | None = Field(None, description="a Spark Connect server to use instead: sc://host:15002")
    conf: dict[str, str] = Field({}, description='settings of the session: {"spark.executor.memory" = "8g"}')
    work: str = Field(
        ".featurestore/spark",
        description="folder that the driver and all executors share, for what is kept while a build or run lasts; relative "
        "to the project",
    )
    timeout: Annotated[str, AfterValidator(_positive_duration)] = Field(
        "60s", description="how long to wait until a master or server answers"
    )


class Online(_Section):
    store: str = Field(
        "lmdb", pattern="^(lmdb|redis|memory)$", description="the online store: lmdb, redis, or memory for one process"
    )
    path: str = Field(".featurestore/online", description="folder of the LMDB store, relative to the project")
    keep: int = Field(
        2, ge=1, description="generations kept of each view, the live one among them: what `rollback` can go back to"
    )
    url: str = Field("redis://127.0.0.1:6379/0", description="the Redis to use: redis://, rediss:// or unix://")
    deadline: str = Field(
        "250ms", pattern=r"^[1-9]\d{0,5} ?(ms|s)$", description="how long a look-up waits for Redis before it says unavailable"
    )
    horizon: str = Field(
        "30d", description="how far beyond a watermark pending facts are kept; later ones wait for a later run"
    )
    nice: int = Field(
        10,
        ge=0,
        le=19,
        description="how far `featurestore materialize` gives way to other programs (0: not at all)",
    )
    push_skew: str = Field("5m", description="how far beyond the clock the event time of a pushed row may lie")
    push: bool = Field(
        True,
        description="keep of sources with a row_key what brings pushed rows online at once; false: they wait for the next run",
    )


class Server(_Section):
    host: str = Field("127.0.0.1", description="address the server binds")
    port: int = Field(8000, ge=0, le=65535, description="port the server binds; 0: any free one")
    max_rows: int = Field(10_000, ge=1, description="entities one request may ask for, or rows it may push")
    max_cells: int = Field(1_000_000, ge=1, description="values one answer may hold: entities times features")
    max_body: int = Field(8_000_000, ge=1_000, description="bytes of a request body")
    max_queue: int = Field(
        512, ge=1, description="complete requests that may wait in one process; beyond it 503 with Retry-After"
    )
    max_connections: int = Field(
        2_000, ge=8, description="connections one process holds; beyond it those that ask nothing are closed, oldest first"
    )
    receive_deadline: Annotated[str, AfterValidator(_positive_duration)] = Field(
        "8s", description="how long a request may take to arrive, from its connection or its first byte to its last"
    )
    drain: Annotated[str, AfterValidator(_duration)] = Field(
        "1s", description="how long requests are still taken after SIGTERM, while /ready says 503"
    )
    api_keys: str | None = Field(
        None,
        description="file of API keys, relative to the project, written by `featurestore keys`; without one only a loopback "
        "address is bound",
    )
    access_log: Annotated[bool | str, AfterValidator(_switch)] = Field(
        False, description="one line of JSON per request: true for stderr, or a file, relative to the project"
    )
    push: bool = Field(False, description="take rows by POST /v1/push/{source}")
    page: bool = Field(
        True, description="show the catalogue and what checks found to people, at /; `materialize` then keeps the catalogue"
    )


def _receiver(text: str | None) -> str | None:
    url = urlsplit(text or "")
    if text and (url.scheme not in ("http", "https") or not url.hostname):
        raise ValueError("must be http://host:port or https://…")
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise ValueError("must hold no credentials; the token belongs in the environment")
    return text or None


class OpenLineage(_Section):
    url: Annotated[str | None, AfterValidator(_receiver)] = Field(
        None,
        description="where lineage events are sent: http://host:port; none: nowhere. The receiver's token, if it wants one, is "
        "OPENLINEAGE_API_KEY in the environment",
    )
    endpoint: str = Field("api/v1/lineage", description="the path below it that takes events")
    file: str | None = Field(None, description="a file, relative to the project, to which events are appended, one a line")
    namespace: str | None = Field(None, description="the namespace of the jobs; default: the project's name")
    timeout: Annotated[str, AfterValidator(_positive_duration)] = Field(
        "2s", description="how long a run waits at its end for events to be taken; those that are not are a warning"
    )

    @property
    def on(self) -> bool:
        return bool(self.url or self.file)


class Profiles(_Section):
    builds: bool = Field(True, description="whether a training set's profile is written beside it, as OUTPUT.profile")
    materializations: bool = Field(True, description="whether a run keeps a profile of each view's values at its watermark")
    keys: int = Field(10_000, ge=1, description="keys of a view that the profile of a run looks at, told by their hash")
    path: str = Field(".featurestore/profiles", description="folder of the profiles of runs, relative to the project")
    retention: Annotated[str, AfterValidator(_positive_duration)] = Field(
        "90d", description="how long profiles of runs are kept"
    )


class ServeLog(_Section):
    on: bool = Field(False, description="whether `serve` keeps a log of what it answered")
    path: str = Field(".featurestore/serve_log", description="folder of the log, relative to the project")
    sample: float = Field(0.1, ge=0, le=1, description="the share of requests that are logged, told by the request's id")
    queue: int = Field(10_000, ge=1, description="rows that may wait to be written; beyond it they are dropped, and counted")
    retention: Annotated[str, AfterValidator(_positive_duration)] = Field(
        "30d", description="how long files of the log are kept"
    )
    max_size: str = Field("10GB", pattern=f"^{SIZE}$", description="the most the log may take; the oldest files go first")
    every: Annotated[str, AfterValidator(_positive_duration)] = Field(
        "1m", description="how long rows are gathered for a file, at most: what a crash can lose"
    )
    hash_keys: bool = Field(False, description="log a keyed hash of the join keys instead of the keys")
    secret: str = Field(
        ".featurestore/serve_log.secret",
        description="file of the secret that keys are hashed with, outside of the log, made when it is first needed",
    )
    redact: tuple[str, ...] = Field((), description="join keys, request columns and features whose values are not logged")


class Drift(_Section):
    alpha: float = Field(
        0.01, gt=0, lt=1, description="the share of comparisons without drift that may alert, all features together"
    )
    min_rows: int = Field(100, ge=2, description="rows each side of a comparison needs")
    thresholds: dict[str, dict[str, float]] = Field(
        {}, description='what alerts, by feature or "*": {"*" = {psi = 0.2}, amount_sum_7d = {ks = 0.05, null_rate = 0.1}}'
    )


class Monitor(_Section):
    every: Annotated[str, AfterValidator(_positive_duration)] = Field(
        "15m", description="how often `monitor` looks, on multiples of that since 1970"
    )
    path: str = Field(".featurestore/monitor", description="folder of the results, relative to the project")
    retention: Annotated[str, AfterValidator(_positive_duration)] = Field(
        "90d", description="how long results are kept; beyond 2 GB the oldest days go before"
    )
    webhook: Annotated[str | None, AfterValidator(_receiver)] = Field(
        None,
        description="where alerts are sent: http://host:port/path; none: nowhere. The receiver's token, if it wants one, is "
        "FEATURESTORE_WEBHOOK_TOKEN in the environment",
    )
    freshness: dict[str, str] = Field(
        {},
        description='how old a watermark may be, by view or "*", and how long a source may be silent: '
        '{"*" = "2h", card_payments = "30m"}',
    )
    window: Annotated[str, AfterValidator(_positive_duration)] = Field(
        "1d", description="how far back served rows are compared: for skew and for drift"
    )
    skew: float = Field(0.0, ge=0, lt=1, description="the share of served cells that may differ from the offline truth")
    sample: int = Field(10_000, ge=1, description="logged rows of a service that a look compares with the offline truth")
    drift: dict[str, str] = Field(
        {},
        description="what served rows are compared with for drift, by service: a training set or its profile, relative to the "
        'project: {fraud_v1 = "train.parquet.profile"}',
    )


class Config(BaseSettings):
    """All settings of a project."""

    model_config = SettingsConfigDict(
        env_prefix="FEATURESTORE_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    format: int = Field(CONFIG_FORMAT, description="version of this file's format")
    project: Project = Field(default_factory=lambda: Project.model_validate({}))
    offline: Offline = Field(default_factory=lambda: Offline.model_validate({}))
    spark: Spark = Field(default_factory=lambda: Spark.model_validate({}))
    online: Online = Field(default_factory=lambda: Online.model_validate({}))
    server: Server = Field(default_factory=lambda: Server.model_validate({}))
    openlineage: OpenLineage = Field(default_factory=lambda: OpenLineage.model_validate({}))
    profiles: Profiles = Field(default_factory=lambda: Profiles.model_validate({}))
    serve_log: ServeLog = Field(default_factory=lambda: ServeLog.model_validate({}))
    drift: Drift = Field(default_factory=lambda: Drift.model_validate({}))
    monitor: Monitor = Field(default_factory=lambda: Monitor.model_validate({}))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes over the file (which arrives as init values)."""
        return env_settings, init_settings


def load(root: Path | None) -> Config:
    """The settings of the project folder `root`, or the defaults and the environment without one.

    Raises: UsageError FS107 for a file that cannot be read, an unknown key, a value of the wrong type or a newer format.
    """
    given: dict[str, Any] = {}
    if root is not None:
        given = _read(root / FILE_NAME)
    try:
        return Config(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError("FS107", f"setting {where}: {first['msg']}", where=FILE_NAME, hint=_hint(where)) from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError("FS107", f"no {FILE_NAME}", where=str(path.parent), hint="featurestore init DIR, or --project DIR")
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("FS107", f"cannot be read: {error}", where=FILE_NAME) from error
    if isinstance(given.get("format"), int) and given["format"] > CONFIG_FORMAT:
        raise UsageError(
            "FS107",
            f"format {given['format']} is newer than {CONFIG_FORMAT}",
            where=FILE_NAME,
            hint="a newer featurestore",
        )
    unknown = [key for key in given if key not in Config.model_fields]
    if unknown:
        raise UsageError("FS107", f"unknown section {unknown[0]!r}", where=FILE_NAME, known=Config.model_fields,
                         hint=nearest(unknown[0], Config.model_fields))  # fmt: skip
    return given


def _hint(where: str) -> str:
    section, _, key = where.partition(".")
    sections: dict[str, type[_Section]] = {
        "project": Project, "offline": Offline, "spark": Spark, "online": Online, "server": Server, "openlineage": OpenLineage,
        "profiles": Profiles, "serve_log": ServeLog, "drift": Drift, "monitor": Monitor,
    }  # fmt: skip
    return nearest(key, sections[section].model_fields) if section in sections else ""


def find_project(start: Path) -> Path:
    """The nearest folder from `start` upwards that holds featurestore.toml. Raises: UsageError FS107."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder
    raise UsageError("FS107", f"no {FILE_NAME} in this folder or above", hint="featurestore init DIR, or --project DIR")

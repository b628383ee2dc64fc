"""What requests and answers look like, for OpenAPI. The hot path reads and writes them by itself (`asked`, `wire`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

Key = int | str | bool | None
Value = float | int | str | bool | list[Any] | None
Status = Literal["present", "null", "expired", "not_found", "stale", "unavailable"]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T13:45:00.000000Z"])]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OnlineFeaturesRequest(_Closed):
    """A look-up: one entity per place of the lists."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "feature_service": "fraud_v1",
                    "entities": {"customer_id": [10038, 10039], "merchant_id": ["m00042", None]},
                    "include": ["statuses"],
                }
            ]
        }
    )

    feature_service: str = Field(description="Name of the service.")
    entities: dict[str, list[Key]] = Field(
        description="One list of values per key column, all of one length. Dates as YYYY-MM-DD, binary in base64; "
        "null matches nothing. {} for a service without keys."
    )
    request: dict[str, list[Any]] = Field(
        {},
        description="What on-demand features take from the request: one list of values per column, one value per entity. "
        "Dates, binary and NaN are written as in answers, instants with an offset; null is NULL.",
    )
    as_of: Instant | SkipJsonSchema[None] = Field(
        None, description="The instant to answer for, RFC 3339 with an offset; not before the watermarks. Default: now."
    )
    include: list[Literal["statuses", "event_timestamps"]] = Field([], description="What to add to the values.")
    int64: Literal["string"] | SkipJsonSchema[None] = Field(
        None, description="Write 64-bit integers as text, and read integer keys from text: for clients that count in doubles."
    )


class OnlineFeatures(_Closed):
    """One row per entity, in the order asked; one value per feature, in the order of feature_names."""

    feature_service: str
    fingerprint: str = Field(description="Of the definition that answered.")
    as_of: Instant = Field(description="The instant answered for.")
    feature_names: list[str]
    rows: list[list[Value]] = Field(
        description='NaN and infinities are "NaN", "Infinity", "-Infinity"; decimals text; times RFC 3339 in UTC; '
        "dates YYYY-MM-DD; binary base64; a histogram [[value, count], …]."
    )
    statuses: list[list[Status]] = Field([], description="Only if included. A value that is not present is null.")
    event_timestamps: list[list[Instant | None]] = Field([], description="Only if included; null for windows.")
    watermarks: dict[str, Instant] = Field(description="View -> facts known before this instant are in.")


class PushRequest(_Closed):
    """Rows of a source: all are taken, or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"rows": [{"payment_id": 17, "paid_at": "2026-01-31T13:45:00Z", "customer_id": 10038, "amount": 9.5}]}]
        }
    )

    rows: list[dict[str, Any]] = Field(
        description="Each with a value for every column of the source but the created timestamp; `deleted` may be left out. "
        "Instants with an offset, dates YYYY-MM-DD, decimals as text, binary in base64; null is NULL."
    )


class Pushed(_Closed):
    """The rows are on the disk."""

    accepted: int = Field(description="How many: all that were sent.")
    known_at: Instant = Field(description="When the last of them arrived: it is known from then on.")


FeastStatus = Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]


class FeastRequest(_Closed):
    """A look-up as Feast's clients ask for it: features, or a feature service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "features": ["card_payments:card_country", "merchant_profile:category"],
                    "entities": {"customer_id": [10038, 10039], "merchant_id": ["m00042", None]},
                    "full_feature_names": True,
                }
            ],
            "oneOf": [
                {
                    "required": ["features"],
                    "properties": {"features": {"minItems": 1}, "feature_service": {"type": "null"}},
                },
                {
                    "required": ["feature_service"],
                    "properties": {"feature_service": {"type": "string", "minLength": 1}, "features": {"maxItems": 0}},
                },
            ],
        }
    )

    features: list[Annotated[str, Field(pattern=r"^[^:@]+(@latest)?:(.|\n)+$")]] = Field(
        [], description="view:feature, of all views and on-demand views that are served."
    )
    feature_service: str | None = None
    entities: dict[str, list[Any]] = Field(
        description="One list of values per join key, and per column that on-demand features take from the request, all of "
        "one length. Other columns are passed over."
    )
    full_feature_names: bool = Field(False, description="Call features view__feature.")
    include_feature_view_version_metadata: bool = Field(False, description="Tell the views in the metadata.")


class FeastVector(_Closed):
    """A column: a join key, or a feature."""

    values: list[Value | dict[str, Any]] = Field(description="Times and dates are whole seconds since 1970.")
    statuses: list[FeastStatus]
    event_timestamps: list[Annotated[str, Field(json_schema_extra={"format": "date-time"})]] = Field(
        description="1970-01-01T00:00:00Z where there is none."
    )


class FeastView(_Closed):
    name: str


class FeastMetadata(_Closed):
    feature_names: list[str] = Field(description="What the columns are called, in their order.")
    feature_view_metadata: list[FeastView] = Field([], description="Only if asked for.")


class FeastResponse(_Closed):
    """Columns: the join keys as given, then the features."""

    results: list[FeastVector]
    metadata: FeastMetadata


class Feature(_Closed):
    name: str
    type: str = Field(description="An Arrow type.", examples=["double"])


class FeatureService(_Closed):
    """A service that can be asked."""

    name: str
    fingerprint: str
    keys: dict[str, str] = Field(description="Key column -> integer, text, bool, date or binary.")
    request: dict[str, str] = Field(description="Request column -> its Arrow type.")
    features: list[Feature]
    watermarks: dict[str, Instant]


class FeatureServices(_Closed):
    feature_services: list[FeatureService]


class State(_Closed):
    status: Literal["ok", "ready"]


class Problem(_Closed):
    """An error, as RFC 9457 writes it: what, where, what is known, and what to try."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(examples=["FS501"])
    where: str
    known: list[str]
    try_: str = Field(alias="try")

"""Decide what the rows of the generated card payments say: one function per table, all of it a function of row numbers.

The world is a year of payments (2025, UTC) at a bank. By its place in a block of twenty, a row of payments is:

    slot 0 to 16    the first version of a payment of its own
    slot 17         the same, but in every eighth block the second correction of an earlier payment of the block
    slot 18         the same, but in every fourth block an exact repetition of an earlier row of the block
    slot 19         a correction of an earlier payment of the block

so a table of exactly `rows` rows has about 5% corrections and 1% repetitions, and any slice of it can be made alone.
Where files are cut and written is `generate`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import polars as pl

from featurestore.intervals import MICROS_PER_DAY, MICROS_PER_SECOND, micros_of
from featurestore.scaffold import words
from featurestore.scaffold.draws import Draws, look_up, word

SECOND, HOUR, DAY = MICROS_PER_SECOND, 3_600 * MICROS_PER_SECOND, MICROS_PER_DAY
START = micros_of(datetime(2025, 1, 1, tzinfo=UTC))
END = micros_of(datetime(2026, 1, 1, tzinfo=UTC))

BLOCK = 20
FIRST_PAYMENT = 1_000_000
FIRST_CUSTOMER = 10_000
WIDE_CUSTOMER = 2**53 + 1
"""Some customers came from another bank, with ids that a double cannot hold."""
UNKNOWN_CUSTOMER, UNKNOWN_MERCHANT = 7, "m-unknown"
SPINE_ROWS = 1_000_000


@dataclass(frozen=True)
class World:
    """A data set of `rows` payment rows: who lives in it, and the draws of its seed."""

    rows: int
    seed: int

    @property
    def draws(self) -> Draws:
        return Draws(self.seed)

    @property
    def customers(self) -> int:
        return min(max(self.rows // 100, 20), 1_000_000)

    @property
    def merchants(self) -> int:
        return min(max(self.rows // 200, 20), 50_000)

    @property
    def step(self) -> int:
        """Microseconds between one payment and the next."""
        return (END - START) // max(self.rows, 1)

    @property
    def spine_every(self) -> int:
        """Every how many payments one is scored: a tenth of them, and never more than SPINE_ROWS or so."""
        return max(10, self.rows // SPINE_ROWS)


def row_numbers(start: int, stop: int) -> pl.DataFrame:
    """One column `i` of UInt64: start, start + 1, …, stop - 1."""
    return pl.select(i=pl.int_range(start, stop, dtype=pl.UInt64))


def _time(micros: pl.Expr) -> pl.Expr:
    return micros.cast(pl.Int64).cast(pl.Datetime("us", "UTC"))


# ---------------------------------------------------------------------------------------------------- who and where


def customer_id(customer: pl.Expr) -> pl.Expr:
    """Customer number to customer_id, int64."""
    n = customer.cast(pl.Int64)
    return pl.when(n % 97 == 41).then(n + WIDE_CUSTOMER).otherwise(n + FIRST_CUSTOMER)


def merchant_id(merchant: pl.Expr) -> pl.Expr:
    """Merchant number to merchant_id, text: two that differ in the form of é alone, and one in Chinese, per forty."""
    digits = _padded(merchant, 5)
    twin = _padded(merchant - word(1), 5)
    return (
        pl.when(merchant % word(40) == word(11))
        .then(pl.lit("café-") + digits)
        .when(merchant % word(40) == word(12))
        .then(pl.lit("cafe\u0301-") + twin)
        .when(merchant % word(40) == word(13))
        .then(pl.lit("北京-") + digits)
        .otherwise(pl.lit("m") + digits)
    )


def card_id(card: pl.Expr) -> pl.Expr:
    return pl.lit("c") + _padded(card, 7)


@lru_cache(maxsize=1)
def _merchant_ids(count: int) -> pl.Series:
    """All merchant ids, spelled once: spelling them anew for each payment would be a third of the work."""
    return row_numbers(0, count).select(merchant_id(pl.col("i"))).to_series()


@lru_cache(maxsize=1)
def _card_ids(count: int) -> pl.Series:
    return row_numbers(0, count).select(card_id(pl.col("i"))).to_series()


def _listed(values: pl.Series, position: pl.Expr) -> pl.Expr:
    return pl.lit(values).gather(position.cast(pl.UInt32))


def _padded(n: pl.Expr, width: int) -> pl.Expr:
    return n.cast(pl.String).str.zfill(width)


def _home(world: World, customer: pl.Expr) -> pl.Expr:
    """The position of a customer's country in COUNTRIES."""
    return world.draws.below(customer, "home", len(words.COUNTRIES))


def _customer_of(world: World, row: pl.Expr, purpose: str) -> pl.Expr:
    """A customer number: the first ones pay twice as often as the average."""
    u = world.draws.unit(row, purpose)
    return (u * (u + 1.0) * 0.5 * float(world.customers)).floor().cast(pl.UInt64)


def _merchant_of(world: World, row: pl.Expr) -> pl.Expr:
    """A merchant number: a few merchants have most of the trade."""
    u = world.draws.unit(row, "merchant")
    return (u * u * float(world.merchants)).floor().cast(pl.UInt64)


# --------------------------------------------------------------------------------------------------------- payments


def payments(world: World, start: int, stop: int) -> pl.DataFrame:
    """Rows [start, stop) of the payments table with all their oddities, in order of row number."""
    frame = _with_versions(world, row_numbers(start, stop))
    frame = _with_facts(world, frame)
    return _with_corrections(world, frame).select(
        "payment_id", "customer_id", "merchant_id", "card_id", "paid_at", "loaded_at", "amount", "currency", "status",
        "card_country", "city", "is_deleted",
    )  # fmt: skip


def _with_versions(world: World, frame: pl.DataFrame) -> pl.DataFrame:
    """Adds version (0 first, 1 correction, 2 second correction) and s, the row number of the first version."""
    i, slot, block = pl.col("i"), pl.col("i") % word(BLOCK), pl.col("i") // word(BLOCK)
    second = (slot == word(17)) & (block % word(8) == word(3))
    repeated = (slot == word(18)) & (block % word(4) == word(0))
    corrected = slot == word(19)
    earlier = block * word(BLOCK) + world.draws.below(block, "corrected slot", 17)
    return frame.with_columns(
        version=pl.when(corrected).then(1).when(second).then(2).otherwise(0).cast(pl.Int8),
        s=pl.when(corrected | second | repeated).then(earlier).otherwise(i),
    )


def _with_facts(world: World, frame: pl.DataFrame) -> pl.DataFrame:
    """Adds what the first version of payment s says. Every twentieth payment is the second half of a split bill: the
    same customer at the same instant, and for half of these also known at the same instant."""
    d, s = world.draws, pl.col("s")
    whole = s - (s % word(BLOCK) == word(7)).cast(pl.UInt64)
    together = s - (s % word(2 * BLOCK) == word(7)).cast(pl.UInt64)
    frame = frame.with_columns(
        customer=_customer_of(world, whole, "customer"),
        merchant=_merchant_of(world, s),
        paid=_paid(world, whole),
        delay=_loading_delay(world, together),
    )
    country = _home(world, pl.col("customer"))
    second_card = d.one_in(s, "second card", 3).cast(pl.UInt64)
    return frame.with_columns(
        payment_id=s.cast(pl.Int64) + FIRST_PAYMENT,
        customer_id=_null_one_in(d, 300, "no customer", customer_id(pl.col("customer"))),
        merchant_id=_null_one_in(d, 100, "no merchant", _listed(_merchant_ids(world.merchants), pl.col("merchant"))),
        card_id=_listed(_card_ids(2 * world.customers), pl.col("customer") * word(2) + second_card),
        amount=_null_one_in(d, 200, "no amount", _amount(world, s)),
        currency=look_up(country, words.CURRENCIES),
        status=d.choice(s, "status", ("pending",) * 3 + ("void",) * 2 + ("settled",) * 95),
        card_country=_null_one_in(d, 80, "no country", look_up(country, words.COUNTRIES)),
        city=d.choice(s, "city", words.CITIES),
    )


def _paid(world: World, s: pl.Expr) -> pl.Expr:
    """Evenly over the year with up to an hour of disorder; three of four terminals report whole seconds."""
    d = world.draws
    exact = s.cast(pl.Int64) * world.step + START + d.micros(s, "paid", 0, HOUR)
    return pl.when(d.one_in(s, "exact clock", 4)).then(exact).otherwise(exact // SECOND * SECOND)


def _loading_delay(world: World, s: pl.Expr) -> pl.Expr:
    """Seconds for most; hours to three weeks for one in ten; a clock that ran ahead by up to two seconds for a few."""
    d = world.draws
    u = d.unit(s, "lateness")
    late = (u * u * float(21 * DAY)).floor().cast(pl.Int64) + HOUR
    return (
        pl.when(d.one_in(s, "late", 10))
        .then(late)
        .when(d.one_in(s, "fast clock", 500))
        .then(-d.micros(s, "ahead", 1, 2 * SECOND))
        .otherwise(d.micros(s, "loading", SECOND, 90 * SECOND))
    )


def _amount(world: World, row: pl.Expr) -> pl.Expr:
    """Small sums mostly, up to 2,500.00; one in a hundred is a refund, below zero.

    Rounded, because Polars divides by a constant through its inverse, and 1.9 is not 190 * 0.01.
    """
    u = world.draws.unit(row, "amount")
    cents = (u * u * u * u * 250_000.0).floor() + 50.0
    signed = pl.when(world.draws.one_in(row, "refund", 100)).then(-cents).otherwise(cents)
    return (signed / 100.0).round(2)


def _null_one_in(draws: Draws, n: int, purpose: str, value: pl.Expr) -> pl.Expr:
    return pl.when(~draws.one_in(pl.col("s"), purpose, n)).then(value)


def _with_corrections(world: World, frame: pl.DataFrame) -> pl.DataFrame:
    """Turns rows of version 1 and 2 into what the correction says, and sets the times.

    A first correction voids or settles (40%), amends the amount, moves the payment to another customer, moves it in
    time, or deletes it (15% each; half of the tombstones carry nothing but the key). A second one restores the payment.
    """
    d, i = world.draws, pl.col("i")
    kind = d.below(pl.col("s"), "kind of correction", 100)
    first, again = pl.col("version") == 1, pl.col("version") == 2
    voids = first & (kind < word(40))
    amends = (first & kind.is_between(word(40), word(54))) | again
    moves = first & kind.is_between(word(55), word(69))
    shifts = first & kind.is_between(word(70), word(84))
    deletes = first & (kind >= word(85))
    bare = deletes & (kind % word(2) == word(0))
    flipped = pl.when(pl.col("status") == "settled").then(pl.lit("void")).otherwise(pl.lit("settled"))
    shifted = pl.col("paid") + d.micros(i, "shift", -3 * DAY, DAY)
    other = customer_id(_customer_of(world, i, "other customer"))
    columns = {
        "customer_id": pl.when(moves).then(other).otherwise(pl.col("customer_id")),
        "amount": pl.when(amends).then(_amount(world, i)).otherwise(pl.col("amount")),
        "status": pl.when(voids).then(flipped).when(again).then(pl.lit("settled")).otherwise(pl.col("status")),
        "paid_at": _time(pl.when(shifts).then(shifted).otherwise(pl.col("paid"))),
    }
    kept = ("merchant_id", "card_id", "currency", "card_country", "city")
    emptied = {name: pl.when(~bare).then(columns.get(name, pl.col(name))) for name in (*columns, *kept)}
    return frame.with_columns(**emptied, loaded_at=_loaded_at(world), is_deleted=_is_deleted(world, deletes))


def _loaded_at(world: World) -> pl.Expr:
    """When the row could first be read; NULL (never) for one first version in two thousand."""
    d, i = world.draws, pl.col("i")
    first = pl.col("paid") + pl.col("delay")
    corrected = first + d.micros(i, "corrected after", HOUR, 20 * DAY)
    restored = first + d.micros(i, "restored after", 21 * DAY, 31 * DAY)
    never = (pl.col("version") == 0) & d.one_in(pl.col("s"), "never loaded", 2_000)
    known = pl.when(pl.col("version") == 1).then(corrected).when(pl.col("version") == 2).then(restored).otherwise(first)
    return _time(pl.when(~never).then(known))


def _is_deleted(world: World, deletes: pl.Expr) -> pl.Expr:
    """NULL, which means false, where the bank's older system did not fill it in."""
    unfilled = ~deletes & world.draws.one_in(pl.col("s"), "deleted not filled", 200)
    return pl.when(~unfilled).then(deletes)


# ------------------------------------------------------------------------------------------------ disputes and spine


def _disputed(world: World) -> pl.Expr:
    """Which payments end in a chargeback: one in a hundred, one in twelve at every seventh merchant."""
    d, s = world.draws, pl.col("s")
    risky = (_merchant_of(world, s) % word(7) == word(3)) & d.one_in(s, "disputed there", 12)
    return risky | d.one_in(s, "disputed", 100)


def _first_versions(world: World, start: int, stop: int, wanted: pl.Expr) -> pl.DataFrame:
    """The payments among rows [start, stop) for which `wanted` holds, as first booked; chosen before they are made."""
    frame = _with_versions(world, row_numbers(start, stop)).filter(pl.col("i") == pl.col("s"))
    return _with_facts(world, frame.filter(wanted))


def disputes(world: World, start: int, stop: int) -> pl.DataFrame:
    """Chargebacks of the payments in rows [start, stop): days to weeks after the payment, reported days later still."""
    d, s = world.draws, pl.col("s")
    happened = pl.col("paid") + d.micros(s, "disputed after", HOUR, 45 * DAY)
    return _first_versions(world, start, stop, _disputed(world)).select(
        "payment_id",
        "customer_id",
        "merchant_id",
        disputed_at=_time(happened),
        reported_at=_time(happened + d.micros(s, "reported after", HOUR, 10 * DAY)),
        amount="amount",
        reason=d.choice(s, "reason", words.REASONS),
    )


def spine(world: World, start: int, stop: int) -> pl.DataFrame:
    """The scored payments among rows [start, stop), one in a hundred twice; column `at` is the place in the shuffle.

    as_of is the instant of the payment, or up to two days later where someone reviewed it by hand. label: did it end in
    a chargeback. referrer_id: the customer who recruited this one, NULL for most.
    """
    d, s = world.draws, pl.col("s")
    reviewed = pl.when(d.one_in(s, "reviewed", 8)).then(d.micros(s, "review", HOUR, 2 * DAY)).otherwise(0)
    referrer = customer_id(d.below(pl.col("customer"), "referrer", world.customers))
    unknown_merchant = pl.when(d.one_in(s, "unknown merchant", 50)).then(pl.lit(UNKNOWN_MERCHANT))
    unknown_customer = pl.when(d.one_in(s, "unknown customer", 50)).then(UNKNOWN_CUSTOMER)
    scored = _first_versions(world, start, stop, d.one_in(s, "scored", world.spine_every)).select(
        customer_id=unknown_customer.otherwise(pl.col("customer_id")),
        merchant_id=unknown_merchant.otherwise(pl.col("merchant_id")),
        card_id="card_id",
        referrer_id=pl.when(d.one_in(pl.col("customer"), "referred", 3)).then(referrer),
        as_of=_time(pl.col("paid") + reviewed),
        amount="amount",
        label=_disputed(world),
        at=d.bits(s, "place in the spine"),
    )
    twice = scored.filter(pl.col("at") % word(100) == word(0))
    return pl.concat([scored, twice.with_columns(at=pl.col("at") * word(_ODD) % word(2**32))])


_ODD = 2_654_435_769


# ---------------------------------------------------------------------------------------------------- the other tables


def customers(world: World) -> pl.DataFrame:
    """Profiles as versions of one row per customer, numbered in the order of change; some arrive out of that order."""
    d, i = world.draws, pl.col("i")
    n, version = i // word(3), (i % word(3)).cast(pl.Int64)
    updated = pl.when(version == 0).then(START - 60 * DAY).otherwise(START + version * 100 * DAY)
    updated = updated + d.micros(i, "updated", 0, 50 * DAY)
    slow = pl.when(d.one_in(i, "slow update", 15)).then(d.micros(i, "slowness", DAY, 130 * DAY))
    frame = row_numbers(0, 3 * world.customers).filter(version <= d.below(n, "versions", 3).cast(pl.Int64))
    return frame.select(
        customer_id=customer_id(n),
        version=version.cast(pl.Int32),
        updated_at=_time(updated),
        loaded_at=_time(updated + slow.otherwise(d.micros(i, "update loading", SECOND, 6 * HOUR))),
        name=d.choice(n, "first name", words.FIRST_NAMES) + pl.lit(" ") + d.choice(n, "last name", words.LAST_NAMES),
        home_country=look_up(_home(world, n), words.COUNTRIES),
        segment=d.choice(i, "segment", words.SEGMENTS),
        credit_limit=((d.below(i, "limit", 100) + word(1)) * word(250)).cast(pl.Decimal(12, 2)),
        customer_since=(d.below(n, "since", 7_000).cast(pl.Int32) + 13_000).cast(pl.Date),
        is_closed=(version == 2) & d.one_in(n, "closed", 8),
    )


def merchants(world: World) -> pl.DataFrame:
    """One to five profiles per merchant over time; the fifth is dated exactly as the fourth: a tie."""
    d, i = world.draws, pl.col("i")
    n, version = i // word(5), i % word(5)
    dated = i - (version == word(4)).cast(pl.UInt64)
    valid = pl.when(version == word(0)).then(START - 30 * DAY).otherwise(d.micros(dated, "valid", START, END))
    score = (d.unit(i, "risk") * 1000.0).floor() / 1000.0
    frame = row_numbers(0, 5 * world.merchants).filter(version <= d.below(n, "merchant versions", 5))
    return frame.select(
        merchant_id=merchant_id(n),
        valid_from=_time(valid),
        name=d.choice(n, "shop", words.SHOP_NAMES) + pl.lit(" ") + n.cast(pl.String),
        category=d.choice(n, "category", words.CATEGORIES),
        risk_score=pl.when(~d.one_in(i, "no score", 25)).then(score),
    )


def cards(world: World) -> pl.DataFrame:
    """One row per card, without history; one card in fifty is missing, as in any real master file."""
    d, i = world.draws, pl.col("i")
    return (
        row_numbers(0, 2 * world.customers)
        .filter(~d.one_in(i, "card missing", 50))
        .select(
            card_id=card_id(i),
            network=d.choice(i, "network", words.NETWORKS),
            product=d.choice(i, "product", words.PRODUCTS),
            issuer_country=look_up(_home(world, i // word(2)), words.COUNTRIES),
            contactless=~d.one_in(i, "no contactless", 9),
        )
    )


def policies(world: World) -> pl.DataFrame:
    """The bank's review rule, one row a month: the amount from which a payment is looked at by a person."""
    d, i = world.draws, pl.col("i")
    return row_numbers(0, 12).select(
        effective_from=pl.datetime(2025, i.cast(pl.Int8) + 1, 1, time_unit="us", time_zone="UTC"),
        review_from=((d.below(i, "review from", 20) + word(10)) * word(50)).cast(pl.Float64),
        rule_set=pl.lit("v") + (i // word(3) + word(1)).cast(pl.String),
    )

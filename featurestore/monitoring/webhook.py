"""Where alerts are sent. What is not taken stays, and is sent again later; what was taken never is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from featurestore.monitoring.alerts import LONGEST_WAIT, Alerts, Event
from featurestore.posting import post, reason_of

TOKEN = "FEATURESTORE_WEBHOOK_TOKEN"
"""The environment variable that holds the receiver's token, if it wants one."""
WAIT = 10.0
"""Seconds a receiver may be silent."""


@dataclass(frozen=True)
class Webhook:
    """A receiver that takes one event by each POST, and says so by a status of 200 to 299."""

    url: str

    def send(self, event: Event) -> None:
        """Raises: what `posting.post` does. The header lets a receiver know an event that it has taken already."""
        body = json.dumps(dict(event.body), ensure_ascii=False, allow_nan=False).encode()
        post(self.url, body, token=os.environ.get(TOKEN, ""), wait=WAIT, headers={"Idempotency-Key": event.id})


def deliver(alerts: Alerts, send: Callable[[Event], None], now: int, keep: Callable[[], None]) -> tuple[int, str]:
    """Send what is due, in order, up to the first that is not taken: a receiver must not hear that something is over before it
    hears that it began. keep: writes the alerts down; called after each event.

    Returns: how many were taken, and why the next was not, or "".
    """
    taken = 0
    while alerts.due is not None and not now < alerts.due <= now + LONGEST_WAIT:  # due later still: the clock was set back
        event = alerts.waiting[0]
        try:
            send(event)
        except Exception as error:
            alerts.waiting[0] = event.failed(now)
            keep()
            return taken, reason_of(error)
        alerts.waiting.pop(0)
        taken += 1
        keep()
    return taken, ""


__all__ = ["TOKEN", "Webhook", "deliver"]

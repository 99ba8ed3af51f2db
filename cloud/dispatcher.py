"""Sends what is due, beside the workers: nothing waits for it, and no channel waits for another.

What is due stands in the store with its time; a killed node goes on where it was. One thread a channel, so
that a webhook that hangs holds up no e-mail.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from cloud.channels import Channel, Mail, Mqtt, Page, Webhook, message
from cloud.config import AlertsConfig, CloudConfig
from cloud.deliveries import Delivery
from cloud.store import Store
from models.errors import DeliveryError, UsageError

logger = logging.getLogger(__name__)

IDLE_S, RETRY_S = 1.0, 5.0


class Dispatcher(threading.Thread):
    """Runs until `stop()`; `clock` is Unix seconds."""

    def __init__(
        self, store: Store, channel: Channel, config: CloudConfig, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(name=f"dispatcher {channel.name}", daemon=True)
        self._store, self._channel, self._clock = store, channel, clock
        self._site, self._give_up_s = config.site, config.alerts.give_up_s
        self._halt = threading.Event()

    def stop(self) -> None:
        self._halt.set()

    def run(self) -> None:
        while not self._halt.is_set():
            try:
                seen = self._store.last_event()
                if not self.dispatch():
                    self._store.wait(seen, self._idle())
            except Exception:  # a store that is away for a while must not end the deliveries for good
                logger.exception("the store is away")
                self._halt.wait(RETRY_S)
        self._channel.close()

    def dispatch(self) -> bool:
        """One delivery, where one is due."""
        deliveries = self._store.book.deliveries
        delivery = deliveries.claim(self._channel.name, self._clock())
        if delivery is None:
            return False
        try:
            self._send(delivery)
        except Exception as error:  # whatever another's server does, the next delivery has its turn
            if not isinstance(error, DeliveryError):
                logger.exception("delivery %s failed", delivery.key)
            told = str(error) if isinstance(error, DeliveryError) else f"{type(error).__name__}."
            deliveries.failed(delivery, told, self._give_up_s, self._clock())
        else:
            deliveries.done(delivery, self._clock())
        return True

    def _send(self, delivery: Delivery) -> None:
        """MQTT says how the patch stands, the others what has become of the alert."""
        follows = self._channel.name == "mqtt"
        stored = (
            self._store.book.current(delivery.patch_id, self._clock())
            if follows
            else self._store.alert(delivery.alert_id)
        )
        assert stored is not None
        self._channel.send(delivery, message(stored.standing, self._site))

    def _idle(self) -> float:
        due = self._store.book.deliveries.next_due(self._channel.name)
        return IDLE_S if due is None else min(IDLE_S, max(0.0, due - self._clock()))


def check_alerts(alerts: AlertsConfig) -> None:
    """
    Raises:
        UsageError: a webhook without a secret to sign for it.
    """
    if not alerts.secret.get_secret_value() and any(s.channel == "webhook" for s in alerts.escalation):
        raise UsageError("A webhook needs a secret that signs what it gets: set secret beneath [alerts].")


def dispatchers(store: Store, config: CloudConfig) -> list[Dispatcher]:
    """One for each channel."""
    alerts, book = config.alerts, store.book
    channels: list[Channel] = [
        Page(lambda delivery: book.remind(delivery, time.time())),
        Mqtt(config.broker, config.site, lambda: book.deliveries.publish_again(time.time())),
        Webhook(alerts.secret.get_secret_value()),
        Mail(alerts.mail),
    ]
    return [Dispatcher(store, channel, config) for channel in channels]

"""How a delivery leaves: an event on the pages, a retained MQTT message, a signed POST, an e-mail.

Each `send` returns when the other side has it, and raises DeliveryError in a sentence when that is not known.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import smtplib
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from http.client import HTTPException
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud import deliveries
from cloud.alerts import Standing
from cloud.config import MailConfig
from cloud.deliveries import Delivery
from cloud.inbox import KEEPALIVE_S, RECONNECT_S, broker_address, no_delay
from cloud.reports import FOOT
from models.errors import DeliveryError
from models.verdicts import LABELS

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0  # shorter than a delivery's lease
Message = dict[str, Any]


def alert_topic(site: str, patch_id: str) -> str:
    """`+` for either makes a subscription."""
    return f"alert/v1/{site}/{patch_id}"


def message(standing: Standing, site: str) -> Message:
    """What is said of an alert outside the page: no name, and what it is not."""
    alert = standing.alert
    about = [
        past["utc"]
        for past in alert.history
        if (past["episode_id"], past["label"], past["at"]) == (alert.episode_id, alert.label, alert.at)
    ]
    return {
        "v": 1,
        "id": alert.id,
        "version": standing.version,
        "state": alert.state,
        "priority": str(alert.priority),
        "label": alert.label,
        "plain": LABELS[alert.label].plain,
        "rule": alert.rule,
        "site": site,
        "patch_id": alert.patch_id,
        "episode_id": alert.episode_id,
        "at": alert.at,  # sample
        "recorded_utc": about[-1] if about else None,
        "called_utc": standing.called_at,
        "acknowledged_by": standing.acknowledged_by,
        "acknowledged_utc": standing.acknowledged_at,
        "escalated_by": standing.escalated_by,
        "escalated_utc": standing.escalated_at,
        "causes": len(alert.history),
        "wording": FOOT,
    }


class Channel(Protocol):
    """One way out; used by one dispatcher's thread."""

    name: deliveries.Channel

    def send(self, delivery: Delivery, said: Message) -> None: ...

    def close(self) -> None: ...


class Page:
    """Tells every open page again."""

    name: deliveries.Channel = "page"

    def __init__(self, remind: Callable[[Delivery], None]) -> None:
        self._remind = remind

    def send(self, delivery: Delivery, said: Message) -> None:  # noqa: ARG002
        self._remind(delivery)

    def close(self) -> None: ...


class Mqtt:
    """`alert/v1/{site}/{patch}`, JSON, retained: how a patch's open alert stands, also for who comes later.

    Nothing is handed to paho while there is no connection, so its own queue stays empty. `connected` is
    called with every new connection: a broker that was away may have lost what it kept.
    """

    name: deliveries.Channel = "mqtt"

    def __init__(self, url: str, site: str, connected: Callable[[], None]) -> None:
        self._site = site
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"anyecg-alerts-{site}", protocol=mqtt.MQTTv5
        )
        self._client.reconnect_delay_set(*RECONNECT_S)
        self._client.on_socket_open = no_delay
        self._client.on_connect = self._on_connect
        self._connected = connected
        self._client.connect_async(*broker_address(url), KEEPALIVE_S)
        self._client.loop_start()

    def _on_connect(self, _c: mqtt.Client, _u: Any, _f: Any, code: ReasonCode, _p: Properties | None) -> None:
        try:
            if not code.is_failure:
                self._connected()
        except Exception:  # it would end paho's thread, and with it every later connection
            logger.exception("what the broker may have lost could not be made due again")

    def send(self, delivery: Delivery, said: Message) -> None:
        if not self._client.is_connected():
            raise DeliveryError("there is no connection.")
        topic = alert_topic(self._site, delivery.patch_id)
        sent = self._client.publish(topic, json.dumps(said), qos=1, retain=True)
        try:
            sent.wait_for_publish(TIMEOUT_S)
        except (RuntimeError, ValueError) as error:
            raise DeliveryError(f"{error}.") from error
        if not sent.is_published():
            raise DeliveryError("it did not confirm.")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Webhook:
    """POST of the message as JSON; any 2xx means that it was taken, and no redirection is followed.

    `X-AnyECG-Signature: sha256=HEX` is the HMAC-SHA256 of `{X-AnyECG-Timestamp}.{body}` under the secret;
    `Idempotency-Key` is the same for every try.
    """

    name: deliveries.Channel = "webhook"

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._opener = urllib.request.build_opener(_Unmoved)

    def send(self, delivery: Delivery, said: Message) -> None:
        body = json.dumps(said | {"key": delivery.key, "after_s": delivery.after_s}).encode()
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": delivery.key,
            "X-AnyECG-Timestamp": stamp,
            "X-AnyECG-Signature": signature(self._secret, stamp, body),
        }
        request = urllib.request.Request(delivery.target, body, headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=TIMEOUT_S):
                return
        except urllib.error.HTTPError as error:
            with error:
                raise DeliveryError(f"it answered {error.code}.") from error
        except (OSError, HTTPException, ValueError) as error:
            raise DeliveryError(f"{getattr(error, 'reason', error) or type(error).__name__}.") from error

    def close(self) -> None:
        self._opener.close()


def signature(secret: bytes, stamp: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret, stamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


class _Unmoved(urllib.request.HTTPRedirectHandler):
    """A POST that is redirected would become a GET without its body, and look as if it had been taken."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Mail:
    """One e-mail a delivery; its Message-ID is the same for every try."""

    name: deliveries.Channel = "email"

    def __init__(self, config: MailConfig) -> None:
        self._config = config

    def send(self, delivery: Delivery, said: Message) -> None:
        config = self._config
        try:
            with smtplib.SMTP(config.host, config.port, timeout=TIMEOUT_S) as server:
                if config.starttls:
                    server.starttls()
                if config.user is not None:
                    server.login(config.user, config.password.get_secret_value())
                server.send_message(self._written(delivery, said))
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(f"{error or type(error).__name__}.") from error

    def _written(self, delivery: Delivery, said: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = f"{said['priority']} alert, patch {said['patch_id']}: {said['plain']}"
        mail["From"], mail["To"] = self._config.sender, delivery.target.removeprefix("mailto:")
        unique = hashlib.sha256(delivery.key.encode()).hexdigest()[:32]
        mail["Message-ID"] = f"<{unique}@{self._config.sender.partition('@')[2]}>"
        mail["Idempotency-Key"] = delivery.key
        lines = [said["rule"], f"state: {said['state']}, {said['causes']} causes", f"alert: {said['id']}"]
        mail.set_content("\n".join([*lines, "", said["wording"]]))
        return mail

    def close(self) -> None: ...

"""What a cloud node is told, in `cloud.toml`: addresses, limits, and the one table of alert rules."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from models.logs import Form


class RuleConfig(BaseModel):
    """From when on a finding is an alert, and of which priority (DESIGN: IEC 60601-1-8).

    No bound is below what the rules of `cloud/rules.py` find at all, or above what an episode of 5 min shows:
    a limit that never held would be silent. Nor does one put off a high alert as if it were suppressed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vf_s: float = Field(2.0, ge=2.0, le=10, description="VF or flutter of so many seconds: high")
    vt_beats: int = Field(6, ge=3, le=30, description="a run of so many V at over 100/min: high")
    pause_s: float = Field(3.0, ge=2.5, le=10, description="a pause of so many seconds: high")
    run_beats: int = Field(3, ge=3, le=30, description="so many V in a row: medium")
    af_s: float = Field(30.0, ge=30, le=240, description="atrial fibrillation of so many seconds: medium")
    slow_bpm: float = Field(40.0, ge=20, le=100, description="a mean rate below this over 30 s: medium")
    fast_bpm: float = Field(130.0, gt=0, le=250, description="a mean rate above this over 30 s: medium")
    v_per_minute: int = Field(6, ge=1, le=60, description="so many V within 60 s: low")


class EscalationStep(BaseModel):
    """Who is told of an alert that nobody has acknowledged for so long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_s: float = Field(0.0, ge=0, le=86_400, description="after it called")
    priority: Literal["low", "medium", "high"] = Field("low", description="alerts at least so urgent")
    to: str = Field(
        pattern=r"^(page|mailto:[^@\s]+@[^@\s]+|https?://[^\s/]+\S*)$",
        description="page, mailto:WHO@WHERE, or the address of a webhook",
    )

    @property
    def channel(self) -> Literal["page", "email", "webhook"]:
        return "page" if self.to == "page" else "email" if self.to.startswith("mailto:") else "webhook"


class MailConfig(BaseModel):
    """How e-mail leaves: one SMTP server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "localhost"
    port: int = Field(25, ge=1, le=65535)
    sender: str = Field("anyecg@localhost", pattern=r"^[^@\s]+@[^@\s]+$", description="From")
    starttls: bool = False
    user: str | None = None
    password: SecretStr = SecretStr("")


class AlertsConfig(BaseModel):
    """What happens to an alert that has called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    escalation: tuple[EscalationStep, ...] = Field((), description="[[alerts.escalation]], any number")
    secret: SecretStr = Field(SecretStr(""), description="signs what webhooks get (HMAC-SHA256)")
    mail: MailConfig = MailConfig()
    give_up_s: float = Field(3600.0, ge=1, description="a delivery is tried for so long, then given up")


class ChatConfig(BaseModel):
    """Which language model writes reports and answers questions; `cloud/language.py` loads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Literal["small", "smollm2", "full", "off"] = Field("small", description="one line decides")
    model: Path | None = Field(None, description="folder of the language model, for smollm2 and full")
    weights: Path | None = Field(None, description="folder of what was trained; absent: what is shipped")
    budget_s: float = Field(10.0, ge=0.1, le=600, description="for a report or an answer, then the template")


class PeopleConfig(BaseModel):
    """Who must sign in, and for how long that is good."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    required: bool | None = Field(None, description="absent: as soon as there is a user")
    idle_h: float = Field(8.0, gt=0, le=24, description="hours without an open page, then sign in again")
    session_h: float = Field(12.0, gt=0, le=168, description="hours after signing in, then again")


Days = Annotated[float | None, Field(gt=0, le=36_500)]


class RetentionConfig(BaseModel):
    """Days after which things are deleted, and audited; absent: kept for ever. See `cloud/retention.py`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples_days: Days = Field(None, description="of episodes; findings and alerts stay")
    reports_days: Days = Field(None, description="of episodes")
    trends_days: Days = Field(None, description="rows a minute")
    ranges_days: Days = Field(None, description="what was fetched of an edge's own recording")
    events_days: Days = Field(None, description="the live stream's past")
    rejects_days: Days = Field(None, description="dead letters")
    replays_days: Days = Field(None, description="runs of `anyecg replay --to`")


class TlsConfig(BaseModel):
    """What the page is encrypted with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Path = Field(description="PEM file, with the chain")
    key: Path = Field(description="PEM file, without a passphrase")


class CloudConfig(BaseModel):
    """The whole of cloud.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: str = Field("home", pattern=r"^[A-Za-z0-9_-]{1,32}$", description="named on the page")
    broker: str = Field("mqtt://127.0.0.1:1883", description="mqtt://host:port")
    host: str = Field(
        "127.0.0.1", min_length=1, description="beyond this machine only with [tls] and at least one user"
    )
    port: int = Field(8000, ge=1, le=65535, description="of the page")
    store: str = Field("sqlite:///cloud.db", description="sqlite:///PATH")
    weights: Path | None = Field(None, description="another screener.onnx than the shipped one")
    workers: int = Field(1, ge=1, le=16, description="threads that analyse")
    lease_s: float = Field(30.0, ge=1, description="how long a worker may take for a part")
    silent_s: float = Field(60.0, ge=5, description="no heartbeat for so long: technical alert")
    unreadable_s: float = Field(120.0, ge=10, description="not analysable for so long: technical alert")
    lag_s: float = Field(30.0, ge=5, description="newest sample older than this when heard: technical alert")
    battery_mv: int = Field(3300, ge=0, description="a patch's battery below this: technical alert")
    log: Form = Field("auto", description="auto, json or human; auto: for people at a terminal, else JSON")
    rules: RuleConfig = RuleConfig()
    alerts: AlertsConfig = AlertsConfig()
    chat: ChatConfig = ChatConfig()
    people: PeopleConfig = PeopleConfig()
    retention: RetentionConfig = RetentionConfig()
    tls: TlsConfig | None = Field(None, description="absent: http, on this machine only")

    @property
    def local(self) -> bool:
        """Whether only this machine reaches the page."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False

    @property
    def url(self) -> str:
        """Of the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"

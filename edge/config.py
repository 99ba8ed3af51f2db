"""What an edge box is told, in `edge.toml`. Unknown keys fail with the nearest known one."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from models.logs import Form


class PatchConfig(BaseModel):
    """Which patch, over which radio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        None, description="address or name of the patch; absent = the first one found"
    )
    radio: str = Field(
        "platform",
        pattern=r"^(platform|tcp-client:[^:]+:\d+)$",
        description="'platform' for the computer's Bluetooth, 'tcp-client:HOST:PORT' for a virtual one",
    )


class RecorderConfig(BaseModel):
    """Everything the edge receives, kept on its own disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="false keeps nothing but what is forwarded")
    disk_mb: int = Field(2000, ge=10, le=10_000_000, description="the oldest recordings leave beyond this")

    days: float | None = Field(None, gt=0, le=36_500, description="older recordings leave; absent: none does")

    @property
    def max_bytes(self) -> int:
        return self.disk_mb * 1_000_000 if self.enabled else 0


class EdgeConfig(BaseModel):
    """The whole of edge.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: str = Field("home", pattern=r"^[A-Za-z0-9_-]{1,32}$", description="a level of every MQTT topic")
    broker: str = Field("mqtt://127.0.0.1:1883", description="mqtt://host:port or mqtts://host:port")
    state: Path = Field(Path("state"), description="folder of the outbox and the recorder")
    outbox_mb: int = Field(1000, ge=10, le=1_000_000, description="the outbox never grows beyond this")
    heartbeat_s: float = Field(15.0, ge=0.5, le=30.0, description="the cloud calls a patch silent after 60 s")
    weights: Path | None = Field(None, description="another screener.onnx than the shipped one")
    log: Form = Field("auto", description="auto, json or human; auto: for people at a terminal, else JSON")
    patch: PatchConfig = PatchConfig()
    recorder: RecorderConfig = RecorderConfig()

    @property
    def recordings(self) -> Path:
        """Folder of the recorder."""
        return self.state / "recorder"

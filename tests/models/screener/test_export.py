from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.screener.runtime import Screener
from models.signals.conditioning import NETWORK_FS, condition

torch = pytest.importorskip("torch", reason="the train extra is not installed")


@pytest.mark.parametrize(("leads", "samples"), [(1, 200), (2, 1000), (12, 4500)])
def test_the_exported_file_computes_what_the_network_does(
    exported: tuple[Path, object], leads: int, samples: int
) -> None:
    path, network = exported
    microvolts = np.random.default_rng(0).normal(0, 200, (leads, samples)).astype(np.float32)
    scores = Screener(path).run(microvolts, NETWORK_FS)
    with torch.no_grad():
        window, tokens = network(torch.from_numpy(condition(microvolts, NETWORK_FS)))
    assert scores.window == pytest.approx(float(window), abs=1e-5)
    np.testing.assert_allclose(scores.tokens, tokens.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    """A random network, its calibration not the identity, as a file and as torch runs it."""
    from dataclasses import replace

    from models.screener.export import PROVISIONAL, export
    from models.screener.net import Calibrated, ScreenerNet

    torch.manual_seed(0)
    operating = replace(PROVISIONAL, scale=(1.4, 0.9, 1.1, 1, 1, 1), offset=(0.1, -0.5, 0.2, 0, 0, 0))
    net = ScreenerNet().eval()
    path = tmp_path_factory.mktemp("export") / "screener.onnx"
    export(net, path, operating, "data")
    return path, Calibrated(net, operating.scale, operating.offset).eval()

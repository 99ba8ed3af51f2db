"""Records that anyone can check by eye, and networks whose every weight says something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID251 - networks under test
from torch import nn  # noqa: TID251

from models.anyecg.batches import Noise
from models.dataset.annotated import Annotated, Rhythm
from models.dataset.tracks import SINUS_RHYTHM, UNKNOWN, S, Track, V
from models.formats import write_wfdb
from models.recordings import make_recording
from models.signals.conditioning import NETWORK_FS

MakeTrack = Callable[..., Track]


def heart(
    beats: Sequence[float], kinds: Sequence[int], seconds: float, fs: float, leads: int, seed: int = 0
) -> np.ndarray:
    """(lead, sample) microvolts: a narrow peak per beat, a wide and taller one where it is ventricular."""
    t = np.arange(round(seconds * fs)) / fs
    x = np.zeros(len(t))
    for beat, kind in zip(beats, kinds, strict=True):
        high, width = (1800, 0.04) if kind == V else (1000, 0.012)
        near = slice(*np.searchsorted(t, (beat - 0.3, beat + 0.6)))
        x[near] += high * np.exp(-0.5 * ((t[near] - beat) / width) ** 2)
        x[near] += 200 * np.exp(-0.5 * ((t[near] - beat - 0.25) / 0.05) ** 2)
    rng = np.random.default_rng(seed)
    return np.stack([x * (1 - 0.15 * i) + rng.normal(0, 10, len(t)) for i in range(leads)]).astype(np.float32)


@pytest.fixture(scope="session")
def make_track() -> MakeTrack:
    """`make(seconds=60, beats=every 0.8 s, kinds=all N, rhythm=sinus, source="mitdb", ...)`."""

    def make(
        seconds: float = 60.0,
        beats: Sequence[float] | None = None,
        kinds: Sequence[int] | None = None,
        rhythm: int | np.ndarray = SINUS_RHYTHM,
        source: str = "mitdb",
        record: str = "101",
        leads: tuple[str, ...] = ("MLII", "V1"),
        morphology: int = 0,
    ) -> Track:
        at = np.arange(0.4, seconds, 0.8) if beats is None else np.asarray(beats, dtype=np.float64)
        what = np.zeros(len(at), dtype=np.int8) if kinds is None else np.asarray(kinds, dtype=np.int8)
        signal = heart(at.tolist(), what.tolist(), seconds, NETWORK_FS, len(leads))
        return Track(
            record=f"{source}/{record}",
            patient=f"{source}/{record}",
            source=source,
            leads=leads,
            signal=signal,
            beats=at,
            kinds=what,
            morphology=np.full(len(at), morphology, dtype=np.int8),
            beats_known=source in {"mitdb", "svdb"},
            rhythm=np.broadcast_to(np.asarray(rhythm, dtype=np.int8), signal.shape[1]).copy(),
        )

    return make


@pytest.fixture(scope="session")
def cohort(make_track: MakeTrack) -> list[Track]:
    """Eight short records of four databases, with ectopic beats, fibrillation and bundle branch block."""
    beats = np.arange(0.4, 90, 0.8)
    early = np.where(np.arange(len(beats)) % 25 == 4, beats - 0.25, beats)
    atrial = np.where(np.arange(len(beats)) % 25 == 4, S, 0)
    ventricular = np.where(np.arange(len(beats)) % 25 == 4, V, 0)
    half = np.where(np.arange(round(90 * NETWORK_FS)) < 45 * NETWORK_FS, 0, 1)
    unknown = np.full(len(beats), UNKNOWN)
    rows = [
        {"record": "101", "beats": early, "kinds": atrial},
        {"record": "106", "beats": early, "kinds": ventricular, "rhythm": 2 * half},
        {"record": "108", "beats": early, "kinds": ventricular, "rhythm": 4 * half},
        {"record": "800", "source": "svdb", "beats": early, "kinds": atrial, "rhythm": -2},
        {"record": "801", "source": "svdb", "beats": early, "kinds": ventricular, "rhythm": -2},
        {"record": "A1", "source": "cinc2017", "kinds": unknown, "rhythm": 2, "leads": ("I",)},
        {"record": "cu01", "source": "cudb-vf", "kinds": unknown, "rhythm": 3 * half},
        {"record": "b1", "source": "clinical", "kinds": unknown, "rhythm": -3, "morphology": 1},
    ]
    return [make_track(seconds=90, **row) for row in rows]


@pytest.fixture(scope="session")
def nstdb_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two minutes of each noise that is trained with."""
    pytest.importorskip("wfdb")
    data = tmp_path_factory.mktemp("data")
    (data / "nstdb").mkdir()
    rng = np.random.default_rng(0)
    for kind in ("em", "bw"):
        walk = np.cumsum(rng.normal(0, 30, (2, 120 * 360)), axis=1)
        write_wfdb(
            make_recording(kind, 360.0, ["n1", "n2"], walk.astype(np.int32), [1, 1]), data / "nstdb" / kind
        )
    return data


@pytest.fixture(scope="session")
def noise(nstdb_folder: Path) -> Noise:
    return Noise(nstdb_folder)


@pytest.fixture(scope="session")
def annotated() -> Callable[..., Annotated]:
    """`annotated(record="mitdb/101", symbols="NNVN", ...)`: a beat a second, at 250 Hz."""

    def make(
        record: str = "mitdb/101",
        symbols: str = "N" * 20,
        rhythms: tuple[Rhythm, ...] = (),
        at: Sequence[float] | None = None,
        seed: int = 0,
    ) -> Annotated:
        times = np.arange(len(symbols)) + 0.5 if at is None else np.asarray(at)
        kinds = [V if symbol == "V" else 0 for symbol in symbols]
        return Annotated(
            record=record,
            patient=record,
            source=record.split("/", maxsplit=1)[0],
            fs=250.0,
            leads=("MLII", "V1"),
            microvolts=heart(times.tolist(), kinds, len(symbols), 250.0, 2, seed),
            beats=np.rint(times * 250).astype(np.int64),
            symbols=np.asarray(list(symbols)),
            rhythms=rhythms,
            labelled=frozenset({"beats", "rhythm"}),
        )

    return make


@pytest.fixture(scope="session")
def learned() -> Callable[[nn.Module], nn.Module]:
    """The network with weights, biases and norms as if it had learned: none is zero, so none is untested."""

    def randomised(net: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, tensor in net.state_dict().items():
                if name.endswith("running_var"):
                    tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
                elif tensor.is_floating_point() and (tensor.ndim == 1 or not tensor.any()):
                    tensor.copy_(tensor + 0.3 * torch.randn(tensor.shape, generator=generator))
        return net.eval()

    return randomised

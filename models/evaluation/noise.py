"""Real noise added to a recording at a signal-to-noise ratio, after the `nst` tool of NSTDB.

Moody GB, Muldrow WE, Mark RG, Computers in Cardiology 11:381-384, 1984: signal power is (usual peak-to-peak
amplitude of a beat)^2 / 8, noise power the mean square. Deviations: the noise lies on the whole recording,
and the amplitude is the median over 1 s blocks. Minutes 20-30 of a noise record are for testing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.ecg import Microvolts, boot_id_of, read_only
from models.errors import RecordingError
from models.recordings import Recording, open_recording
from models.signals.conditioning import resample

TEST_FROM_S = 20 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Channels of noise, and how loud they shall be."""

    microvolts: Microvolts  # float32 (channel, sample)
    fs: float  # Hz
    snr_db: float


def read_noise(folder: Path, kind: str, snr_db: float) -> Noise:
    """Record `kind` (`em`, `bw`, `ma`) of the folder, or of its `nstdb`, from minute 20 on.

    A record of 20 minutes or less is taken whole. RecordingError where there is none.
    """
    inside = [f for f in (folder, folder / "nstdb") if (f / f"{kind}.hea").is_file()]
    if not inside:
        raise RecordingError(f"{folder} holds no noise record {kind}.hea; give --noise-data its folder.")
    recording = open_recording(inside[0] / kind)
    start = round(TEST_FROM_S * recording.fs)
    scale = np.asarray(recording.uv_per_count, dtype=np.float32)[:, None]
    microvolts = recording.counts.astype(np.float32) * scale
    held = microvolts[:, start if start < microvolts.shape[1] else 0 :]
    return Noise(microvolts=held, fs=recording.fs, snr_db=snr_db)


def noisy(recording: Recording, noise: Noise) -> Recording:
    """Each lead with a channel of its own, from a place that follows from the recording's name alone.

    Where the noise ends it goes on backwards: nothing jumps. A lead without signal stays as it is.
    """
    scale = np.asarray(recording.uv_per_count, dtype=np.float32)[:, None]
    clean = recording.counts.astype(np.float32) * scale
    added = _added(clean, recording.fs, noise, zlib.crc32(recording.patch_id.encode()))
    there = np.ones(clean.shape, dtype=np.bool_)
    for first, count in recording.gaps:
        there[:, first : first + count] = False
    for name, first, count in recording.lead_off:
        there[recording.leads.index(name), first : first + count] = False
    counts = read_only(np.where(there, np.rint((clean + added) / scale), 0).astype(np.int32))
    return replace(recording, counts=counts, boot_id=boot_id_of(counts))


def _added(clean: Microvolts, fs: float, noise: Noise, seed: int) -> Microvolts:
    channels = resample(noise.microvolts, noise.fs, fs)
    channels = channels - channels.mean(axis=1, keepdims=True)
    there_and_back = np.concatenate([channels, channels[:, ::-1]], axis=1)
    length = there_and_back.shape[1]
    at = (seed % length + np.arange(clean.shape[1])) % length
    rows = [there_and_back[i % len(channels)][at] for i in range(len(clean))]
    powers = np.asarray([np.mean(row**2) for row in rows])
    loud = np.sqrt(signal_power(clean, fs) / np.maximum(powers, 1e-9)) * 10 ** (-noise.snr_db / 20)
    return np.asarray(np.stack(rows) * loud[:, None], dtype=np.float32)


def signal_power(microvolts: Microvolts, fs: float) -> npt.NDArray[np.float64]:
    """(lead,): (median over 1 s blocks of peak to peak)^2 / 8, as a sine of that height has."""
    second = round(fs)
    blocks = microvolts[:, : microvolts.shape[1] // second * second].reshape(len(microvolts), -1, second)
    return np.asarray(np.median(np.ptp(blocks, axis=2), axis=1).astype(np.float64) ** 2 / 8)

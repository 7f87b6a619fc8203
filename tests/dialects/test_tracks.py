"""The mixer of tracks: whatever order packets come in, every sample stands where its time stamp says."""

import random

import pytest

from realtime.dialects.tracks import BYTES_PER_MS, MAX_GAP_MS, MAX_LAG_MS, SILENCE, TrackMixer

PACKET_MS = 20
LAG_BYTES = MAX_LAG_MS * BYTES_PER_MS


def packets(n, seed):
    """(time stamp, 20 ms that nothing else contains)."""
    made = random.Random(seed)
    return [
        (i * PACKET_MS, bytes(made.randrange(255) for _ in range(PACKET_MS * BYTES_PER_MS))) for i in range(n)
    ]


def joined(these):
    return b"".join(data for _, data in these)


def quiet(ms):
    return SILENCE * (ms * BYTES_PER_MS)


def test_one_track_goes_straight_through():
    mixer = TrackMixer(1)
    for stamp, data in packets(20, 1):
        assert mixer.push(0, stamp, data) == data
    assert mixer.flush() == b""


def test_two_tracks_are_interleaved_as_soon_as_both_are_there():
    caller, agent = packets(5, 1), packets(5, 2)
    mixer, mixed = TrackMixer(2), b""
    for (stamp, left), (_, right) in zip(caller, agent, strict=True):
        assert mixer.push(0, stamp, left) == b""
        mixed += mixer.push(1, stamp, right)
    assert (mixed[::2], mixed[1::2]) == (joined(caller), joined(agent))


def test_a_silent_track_is_waited_for_no_longer_than_the_lag():
    caller, mixer, mixed = packets(50, 1), TrackMixer(2), b""
    for n, (stamp, data) in enumerate(caller, 1):
        mixed += mixer.push(0, stamp, data)
        assert len(mixed) // 2 == max(0, n * PACKET_MS * BYTES_PER_MS - LAG_BYTES)
    mixed += mixer.flush()
    assert mixed[::2] == joined(caller)
    assert mixed[1::2] == quiet(1000)


def test_a_track_that_comes_late_is_heard_from_where_it_still_can_be():
    caller, agent = packets(50, 1), packets(50, 2)
    mixer = TrackMixer(2)
    mixed = b"".join(mixer.push(0, stamp, data) for stamp, data in caller)
    mixed += b"".join(mixer.push(1, stamp, data) for stamp, data in agent)
    mixed += mixer.flush()
    assert mixed[::2] == joined(caller)
    assert mixed[1::2] == quiet(1000 - MAX_LAG_MS) + joined(agent)[-LAG_BYTES:]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_within_the_lag_is_the_right_order(seed):
    caller, agent = packets(40, 1), packets(40, 2)
    sent = [(stamp, 0, data) for stamp, data in caller] + [(stamp, 1, data) for stamp, data in agent]
    chance = random.Random(seed)
    shuffled = sorted(sent, key=lambda packet: packet[0] + chance.uniform(0, MAX_LAG_MS - PACKET_MS - 1))
    doubled = [packet for packet in shuffled for _ in range(chance.choice((1, 1, 2)))]
    mixer = TrackMixer(2)
    mixed = b"".join(mixer.push(track, stamp, data) for stamp, track, data in doubled) + mixer.flush()
    assert (mixed[::2], mixed[1::2]) == (joined(caller), joined(agent))


def test_a_lost_packet_is_silence_in_its_place():
    sent = packets(50, 1)
    kept = [packet for packet in sent if packet[0] not in (200, 220)]
    mixer = TrackMixer(1)
    mixed = b"".join(mixer.push(0, *packet) for packet in kept) + mixer.flush()
    assert mixed == joined(sent[:10]) + quiet(40) + joined(sent[12:])


def test_a_packet_behind_what_went_out_is_dropped():
    sent, mixer = packets(50, 1), TrackMixer(1)
    mixed = b"".join(mixer.push(0, *packet) for packet in sent[1:])
    assert mixer.push(0, *sent[0]) == b""
    assert mixed == quiet(PACKET_MS) + joined(sent[1:])


def test_rounded_time_stamps_make_no_holes():
    sent, mixer = packets(50, 1), TrackMixer(1)
    stamps = [stamp + (-3, 0, 4, 1)[n % 4] for n, (stamp, _) in enumerate(sent)]
    assert b"".join(mixer.push(0, s, data) for s, (_, data) in zip(stamps, sent, strict=True)) == joined(sent)


@pytest.mark.parametrize("first_ms", [MAX_GAP_MS + 1, 1_795_291_200_000, -1_795_291_200_000])
def test_a_clock_that_does_not_begin_at_zero_begins_the_stream(first_ms):
    caller, agent = packets(10, 1), packets(10, 2)
    mixer, mixed = TrackMixer(2), b""
    for (stamp, left), (_, right) in zip(caller, agent, strict=True):
        mixed += mixer.push(0, first_ms + stamp, left) + mixer.push(1, first_ms + stamp, right)
    assert (mixed[::2], mixed[1::2]) == (joined(caller), joined(agent))


def test_a_clock_that_is_set_leaves_no_hole_and_stops_nothing():
    sent, mixer = packets(30, 1), TrackMixer(1)
    offsets = [0] * 10 + [3_600_000] * 10 + [-60_000] * 10
    mixed = b"".join(mixer.push(0, s + at, data) for at, (s, data) in zip(offsets, sent, strict=True))
    assert mixed == joined(sent)


def test_memory_is_bounded_by_the_lag():
    mixer = TrackMixer(2)
    for stamp, data in packets(500, 1):
        mixer.push(0, stamp, data)
    assert mixer.push(0, 500 * PACKET_MS + MAX_GAP_MS - 100, b"\x00")
    assert all(track.n_samples <= LAG_BYTES for track in mixer._tracks)
    assert all(len(track._known) <= LAG_BYTES for track in mixer._tracks)


def test_nothing_comes_of_nothing():
    mixer = TrackMixer(2)
    assert mixer.push(0, 0, b"") == b""
    assert mixer.flush() == b""

"""Seats: reservations, slots, the queue; every path gives everything back."""

import pytest

from realtime.errors import AtCapacity
from realtime.server.admission import Admission, Seats


class Stream:
    def __init__(self, engine, lease):
        self.engine, self.lease, self.closed = engine, lease, False

    def feed(self, frame) -> int:
        return 0

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.engine.in_use -= 1


class Engine:
    def __init__(self, slots: int):
        self.slots, self.in_use, self.leases = slots, 0, 0

    def open(self, delay_tokens: int) -> Stream:
        if self.in_use == self.slots:
            raise AtCapacity()
        self.in_use += 1
        self.leases += 1
        return Stream(self, self.leases)


def test_a_newcomer_is_refused_when_seats_are_reserved_or_leased():
    admission = Admission(Engine(2), 10)
    first = admission.admit(1)
    first.open(6)
    admission.admit(1)  # silent, but its seat is kept
    with pytest.raises(AtCapacity):
        admission.admit(1)


def test_two_channels_take_two_seats_or_none():
    admission = Admission(Engine(3), 10)
    admission.admit(2)
    with pytest.raises(AtCapacity):
        admission.admit(2)
    admission.admit(1)


def test_more_channels_than_slots_is_said():
    with pytest.raises(AtCapacity, match="1 slot"):
        Admission(Engine(1), 10).admit(2)


def test_connections_are_bounded_apart_from_slots():
    admission = Admission(Engine(5), 1)
    seats = admission.admit(1)
    with pytest.raises(AtCapacity, match="connections"):
        admission.admit(1)
    seats.close()
    admission.admit(1)


def test_forfeited_seats_are_free_for_others():
    engine = Engine(1)
    admission = Admission(engine, 10)
    silent = admission.admit(1)
    silent.forfeit()
    speaking = admission.admit(1)
    assert speaking.open(6) is not None
    assert silent.open(6) is None


def test_the_queue_is_served_in_order_and_before_newcomers():
    engine = Engine(1)
    admission = Admission(engine, 10)
    waiting = [silent_seats(admission), silent_seats(admission)]
    speaking = admission.admit(1)
    stream = speaking.open(6)
    served = []
    for name, seats in zip(("a", "b"), waiting, strict=True):
        seats.retry = lambda name=name, seats=seats: served.append((name, seats.open(6)))
        assert seats.open(6) is None
    assert admission.free < 0
    speaking.release(stream)
    assert served == []
    speaking.settle()
    assert [name for name, _ in served] == ["a"]
    with pytest.raises(AtCapacity):
        admission.admit(1)
    waiting[0].release(served[0][1])
    waiting[0].settle()
    assert [name for name, stream in served if stream] == ["a", "b"]


def test_a_fresh_slot_for_one_channel_costs_the_other_no_place_in_the_queue():
    admission = Admission(Engine(2), 10)
    first, second = admission.admit(1), admission.admit(1)
    held, own = first.open(6), second.open(6)
    asked = []
    second.retry = lambda: asked.append(second.open(6))
    assert second.open(6) is None
    second.release(own)
    assert second.open(6) is not None  # the same channel, after a long silence
    second.settle()
    assert asked == []
    first.release(held)
    first.settle()
    assert len(asked) == 1 and asked[0] is not None
    first.settle()
    assert len(asked) == 1


def silent_seats(admission: Admission) -> Seats:
    """A connection that was admitted and has given its slot back since."""
    seats = admission.admit(1)
    seats.forfeit()
    return seats


def test_closing_gives_back_reservation_connection_and_place_in_the_queue():
    engine = Engine(1)
    admission = Admission(engine, 10)
    gone = silent_seats(admission)
    speaking = admission.admit(1)
    stream = speaking.open(6)
    gone.retry = lambda: pytest.fail("it has left")
    gone.open(6)
    gone.close()
    gone.close()
    speaking.release(stream)
    speaking.close()
    assert (admission.connections, admission.leased, admission.free, engine.in_use) == (0, 0, 1, 0)


def test_a_seat_more_is_there_at_once_or_refused():
    engine = Engine(3)
    admission = Admission(engine, 10)
    seats = admission.admit(1)
    held = seats.open(6)
    seats.reserve(1)
    assert admission.free == 1
    with pytest.raises(AtCapacity):
        admission.admit(2)
    with pytest.raises(AtCapacity):
        seats.reserve(2)
    seats.release(held)
    assert seats.open(6) is not None and seats.open(6, 1) is not None
    assert (admission.free, admission.leased) == (1, 2)


def test_both_channels_of_a_stream_that_waits_come_before_newcomers():
    engine = Engine(3)
    admission = Admission(engine, 10)
    speaking = [admission.admit(1) for _ in range(3)]
    streams = [seats.open(6) for seats in speaking]
    waiting = Seats(admission)
    waiting.retry = lambda: None
    assert waiting.open(6, 0) is None
    assert waiting.open(6, 1) is None
    assert waiting.open(6, 1) is None  # asked again, still one
    for seats, stream in zip(speaking, streams, strict=True):
        seats.release(stream)
    assert admission.free == 1
    assert waiting.open(6, 1) is not None
    assert admission.free == 1
    waiting.settle()  # its turn; it does not ask any more
    assert admission.free == 2

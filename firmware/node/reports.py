"""Frames from what is kept: which readings go, and what an answered frame proves. Imported only on the wakes that send."""

import struct

from keep import days
from keep.flash import Flash
from keep.midnights import store_count
from keep.rtc import PAST, now
from payload import codes

# readings in a frame: each goes out that many times, which outlives losses, and the frame stays short
HISTORY = {"bin": 12, "air": 6}
FRAMES = 4  # a wake sends at most so many: the rest waits for the next report
VERSION = (0, 1, 0)
DAY_MS = 86_400_000


def flags(node):
    """(flags that all frames share, time mark of now in s)."""
    rtc = now()
    clock = node.core.clock
    bits = codes.LOW_BATTERY if node.battery() < node.board.LOW_BATTERY_MV else 0
    if not clock.known:
        return bits | codes.TIME_UNKNOWN, 0
    return bits | (codes.TIME_UNSURE if clock.uncertain(rtc) else 0), clock.now(rtc) // 1000


def health(node):
    """Sends the health report. Returns the Outcome."""
    from payload.health import PORT, Health, encode

    bits, mark = flags(node)
    rtc = now()
    work = node.work
    unsure = node.core.clock.uncertainty(rtc) // 1000 if node.core.clock.known else 0xFFFF
    record = Health(
        mark,
        bits,
        min(node.battery(), 0xFFEF),
        work.cause,
        *VERSION,
        (rtc - work.start) // 1000,
        min(node.waiting(), 255),
        work.dropped,
        work.exceptions,
        work.boots,
        min(unsure, 0xFFFF),
        node.link.faults["adr_refused"],
    )
    return node.link.send(PORT, lambda room: encode(record, room))


def meter(node, moment):
    """Sends what a meter has to send. Returns (the last Outcome, whether the network has proved that it got the moment's count).

    Old epochs' and cut-off days go first, each run in a frame of its own and confirmed, then the newest days, with the
    count of the moment where `moment`.
    """
    core = node.core
    node.take_pulses()
    if core.clock.known:
        runs = _runs(days.entries(node.memory.get(PAST, days.VERSION) or b""))
        newest = runs[-1] if runs and runs[-1][-1][0] == core.epoch else []
        cut_off = [run for run in [_unproven(run) for run in runs if run is not newest] if run]
        for run in cut_off[: FRAMES - 1]:
            outcome = _days(node, run, None, True)
            if not outcome.sent:
                return outcome, False
        told = False
        for _ in range(FRAMES):
            # the first count of an epoch asks for an answer, and a day that three frames have carried without one
            confirmed = moment or bool(_unproven(newest[:-1]))
            outcome = _days(node, newest, _now(node, moment), confirmed)
            told = told or (moment and outcome.sent and node.link.answered(outcome, confirmed))
            newest = _unproven(newest[: -node.link.carried])
            moment = False
            if not outcome.sent or not newest:
                break
        return outcome, told
    outcome = _days(node, [], _now(node, True), False)
    return outcome, outcome.sent and node.link.answered(outcome, False)


def _unproven(run):
    """A run of days up to the newest that is not proven sent; empty if all are."""
    while run and run[-1][6] & days.PROVEN:
        run = run[:-1]
    return run


def _now(node, moment):
    """(flags, count or None) of a frame of the running epoch; what it carries is in flash from here on."""
    core = node.core
    rtc = now()
    if core.count != core.stored:
        store_count(core, rtc, Flash())
    young = codes.EPOCH_YOUNG if rtc - node.work.start < DAY_MS else 0
    leak = codes.LEAK if core.hours.leak else 0
    return young | leak, core.count if moment else None


def _runs(entries):
    """The entries in runs of consecutive days of one epoch, oldest run first."""
    runs: list[list] = []
    for entry in entries:
        if runs and runs[-1][-1][0] == entry[0] and runs[-1][-1][1] + 1 == entry[1]:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return runs


def _days(node, run, present, confirmed):
    """Sends one frame: the end of a run, as many days as fit, and what `_now` gave for a frame of the running epoch."""
    from payload.meter import PORT, Day, Meter, decode, encode

    common, mark = flags(node)
    bits, moment = present or (0, None)
    history = []
    for _, _, count, least, most, seen, entry in reversed(run):
        unsure = 1 if entry & days.UNCERTAIN else 0
        history.append(Day(count, least if seen else -1, most if seen else -1, seen, unsure))
    bits |= common | (codes.DAYS if run else 0) | (codes.NOW if moment is not None else 0)
    epoch = run[0][0] if run else node.core.epoch
    record = Meter(epoch, mark, bits, moment, run[-1][1] + 1 if run else 0, tuple(history))
    outcome = node.link.send(PORT, lambda room: encode(record, room), confirmed)
    node.link.carried = len(run)
    if outcome.sent and run:
        node.link.carried = len(decode(node.link.data).days)
        if node.link.answered(outcome, confirmed):
            gone = [entry[1] for entry in run[-node.link.carried :]]
            body = days.prove(node.memory.get(PAST, days.VERSION), epoch, gone)
            node.memory.put(PAST, days.VERSION, body)
    return outcome


def readings(node, kind):
    """Sends a bin's or an air node's newest readings with as many earlier ones as fit, then what no frame has carried yet.

    Returns the last Outcome, None if there was nothing to send.
    """
    from keep.ring import PROVEN, SENT

    ring = node.ring()
    mark = ring.newest()
    outcome = None
    for _ in range(FRAMES):
        if mark is None:
            break
        outcome = _readings(node, kind, ring, mark)
        if not outcome.sent:
            break
        marks = [mark - i * _step(kind) for i in range(node.link.carried)]
        ring.advance(marks, PROVEN if node.link.answered(outcome, False) else SENT)
        node.put_ring(ring)
        mark = ring.newest(only_waiting=True)
    return outcome


def _step(kind):
    return 3600 if kind == "bin" else 900


def _readings(node, kind, ring, mark):
    # The readings' times, not the present one's: a frame tells whether the clock was sure when they were taken.
    bits = flags(node)[0] & ~codes.TIME_UNSURE | (codes.TIME_UNSURE if ring.unsure(mark) else 0)
    found = ring.history(mark, _step(kind), HISTORY[kind])
    size, port, make = (_bin if kind == "bin" else _air)(mark, bits, found)
    outcome = node.link.send(port, make)
    node.link.carried = (len(node.link.data) - 6) // size if outcome.sent else 0
    return outcome


def _bin(mark, bits, found):
    """(bytes of an entry, fPort, function of the room) of a bin's frame."""
    from payload.bin import PORT, Bin, Echo, encode

    missing = struct.pack("<HBB", codes.failure(codes.NOT_MEASURED), 0, 0)
    record = Bin(mark, bits, tuple([Echo(*struct.unpack("<HBB", data or missing)) for data in found]))
    return 4, PORT, lambda room: encode(record, room)


def _air(mark, bits, found):
    """The same of an air node's."""
    from payload.air import PORT, Air, Sample, encode

    missing = struct.pack("<5H", *[codes.failure(codes.NOT_MEASURED)] * 5)
    record = Air(mark, bits, tuple([Sample(*struct.unpack("<5H", data or missing)) for data in found]))
    return 10, PORT, lambda room: encode(record, room)

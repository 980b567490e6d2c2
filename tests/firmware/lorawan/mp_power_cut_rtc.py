"""A reset in the midst of the write to RTC memory, at every byte: each record is old, new or gone, and no wake believes what was torn."""

import sys

from network import Device, Network, join_accept


class Machine:
    """`machine` with an RTC memory that stops being written after `bytes` bytes."""

    DEEPSLEEP_RESET = 4
    kept = b""
    bytes = 2048

    class RTC:
        def memory(self, data=None):
            if data is None:
                return Machine.kept
            Machine.kept = bytes(data[: Machine.bytes]) + Machine.kept[Machine.bytes :]
            return None


machine = Machine()
machine.RTC = Machine.RTC
sys.modules["machine"] = machine

from keep.record import HEAD_BYTES  # noqa: E402
from keep.rtc import CORE, PAST, SIZE, WORK, Memory  # noqa: E402
from keep.work import VERSION, Work  # noqa: E402


def saved(memory, work, step):
    """The three records of a wake: core and past stand for themselves, work holds the session."""
    memory.put(CORE, 1, bytes([step] * 150))
    memory.put(WORK, VERSION, work.pack())
    memory.put(PAST, 1, bytes([step] * (600 + 9 * step)))
    return [bytes(memory.get(place, version)) for place, version in ((CORE, 1), (WORK, VERSION), (PAST, 1))]


def test_each_record_is_old_or_new_or_gone_wherever_the_write_stops():
    device = Device()
    assert device.join(join_accept(1)).reason == ""
    network = Network(0, 1)
    device.send()
    work = Work()
    work.session = device.mac.session()
    Machine.kept, Machine.bytes = b"", SIZE
    memory = Memory()
    old = saved(memory, work, 1)
    memory.save()
    image = Machine.kept
    device.send(rx1=network.down(fopts=bytes.fromhex("0708e8428450060351000001")))
    work.session = device.mac.session()
    new = saved(memory, work, 2)
    assert old[1] != new[1] and len(new[1]) > len(old[1])
    seen = {}
    for stop in range(SIZE + 1):
        Machine.kept, Machine.bytes = image, stop
        memory.save()
        torn = Memory()
        told = ""
        for i, (place, version) in enumerate(((CORE, 1), (WORK, VERSION), (PAST, 1))):
            body = torn.get(place, version)
            assert body in (old[i], new[i], None), (stop, place)
            told += "gone" if body is None else "old " if body == old[i] else "new "
        seen.setdefault(told, []).append(stop)
    print({told: (stops[0], stops[-1]) for told, stops in seen.items()})
    # in the order of the write, a record's last byte makes it new and its first changed one unmakes the old
    assert set(seen) == {
        "old old old ",
        "goneold old ",
        "new old old ",
        "new goneold ",
        "new new old ",
        "new new gone",
        "new new new ",
    }
    assert seen["new new old "][0] == WORK + HEAD_BYTES + len(new[1])


def test_a_session_that_was_torn_gives_way_to_the_flash_record():
    device = Device()
    device.join(join_accept(1))
    for _ in range(5):
        device.send()
    sent = device.mac._state.fcnt_up
    record = device.mac.session()
    for length in range(len(record)):
        assert not Device(device.flash, record[:length] or b"\0").mac.joined
    again = Device(device.flash)
    assert again.mac.joined and again.mac._state.fcnt_up >= sent

"""The trait over micropython-lib's modems, on the chips' models: what our own drivers are held to.

Only this file may be skipped: the library is in no package registry, so a machine without network cannot bring it.
"""

import os
from pathlib import Path

import node_world
import pytest
from mplib_world import CHIPS, GAIN_DB, MS, OTHERS, START, US, S, World, board_files

from tools.setup import micropython_lib
from tools.virtual_board.flash import build_image, compile_source
from tools.world import lora

NAMED = os.environ.get("MICROPYTHON_LIB")
LIBRARY = micropython_lib.packages(Path(NAMED) if NAMED else micropython_lib.HOME)
if NAMED and not LIBRARY:
    pytest.fail(f"MICROPYTHON_LIB={NAMED}: no lora packages there; name a checkout of micropython-lib")
if not LIBRARY:
    pytest.skip(
        "micropython-lib is not here: make micropython-lib, or name a checkout in MICROPYTHON_LIB",
        allow_module_level=True,
    )

FACTORS = range(7, 13)
SYMBOLS = 12


@pytest.fixture(scope="module")
def library():
    """{path on the board: content}, as mip leaves it there."""
    return {
        f"lib/lora/{file.stem}.mpy": file.read_bytes() if file.suffix == ".mpy" else compile_source(file, file.name)
        for file in LIBRARY.values()
    }


@pytest.fixture(params=CHIPS)
def name(request):
    return request.param


@pytest.fixture
def world(name, tmp_path, library):
    world = World(tmp_path, name, library)
    yield world
    world.supervisor.close()


def at_us(line):
    """World time of the ticks that a line gives."""
    return START + int(line[1]) * US


def symbol_ns(sf):
    return lora.symbol_ns(sf, 125_000)


def test_an_uplink_at_each_data_rate_is_heard_and_its_end_is_known(world):
    lines = world.run("".join(f"send(b'uplink{sf}', 868100000, {sf}, 16)\n" for sf in FACTORS), 20)
    assert len(world.uplinks()) == len(lines) == 6
    for sf, entry, line in zip(FACTORS, world.uplinks(), lines, strict=True):
        what = entry.what
        assert (what.spreading_factor, what.payload, what.bandwidth_hz) == (sf, b"uplink%d" % sf, 125_000)
        assert abs(what.freq_hz - 868_100_000) < 100
        assert (what.preamble, what.crc, what.coding_rate, what.iq_inverted, what.spoiled) == (8, True, 1, False, "")
        assert entry.outcome == ((world.gateway.gateway_id, ""),)
        assert 0 <= at_us(line) - entry.end < 100 * US, "the tick of the interrupt, not of the look"


def test_every_power_step_is_what_leaves_the_chip(world):
    steps = (
        18,
        16,
        14,
        12,
        10,
        8,
        6,
        4,
        18,
    )  # EIRP: the antenna's 2 dB are taken off, so +16 and +14 dBm are among them
    world.run("".join(f"send(b'a', 868300000, 7, {eirp})\n" for eirp in steps), 10)
    assert [entry.what.power_dbm for entry in world.uplinks()] == [eirp - GAIN_DB for eirp in steps]


def test_more_than_the_library_can_do_is_its_most(world):
    world.run("send(b'a', 868300000, 7, 22)", 10)
    (entry,) = world.uplinks()
    assert entry.what.power_dbm == {"sx1262": 20, "sx1276": 17}[world.name], "an SX1276 at 20 would be one at 10 dBm"


@pytest.mark.parametrize("name", OTHERS)
def test_other_modules_by_their_board_file(world):
    world.downlink(b"ours", START + 5 * S, 12)
    lines = world.run(
        "send(b'a', 868100000, 12, 16)\nlisten(5000000, 12, 8)\nmodem.sleep()\nprint([pin() for pin in modem._switch and switch])",
        9,
    )
    (entry,) = world.uplinks()
    assert (entry.what.power_dbm, entry.outcome) == (14, ((world.gateway.gateway_id, ""),))
    assert lines[2][2] == b"ours".hex()
    assert lines[3] == ["[0,", "0]"]


def test_the_chip_is_left_as_the_datasheet_has_it(world):
    commands = []
    if world.name == "sx1262":
        run = world.chip._run
        world.chip._run = lambda command: (commands.append(command), run(command))
    world.run("listen(2000000, 7, 8)", 4)
    chip = world.chip
    if world.name == "sx1262":
        assert b"\x96\x01" in commands, "DC-DC, not the linear regulator that the reset leaves"
        assert chip.settings.dio1_mask & 0x20, "a wrong header is told"
        assert chip.settings.packet[3] is False, "no CRC"
        assert chip.settings.image_band == (0xD7, 0xDB)
    else:
        assert not chip.op_mode & 8, "high-frequency port"
        assert True in chip.calibrated, "and its image"
        assert not chip.lora[0x1E] & 4, "no CRC"
        assert chip.lora[0x26] & 4, "AGC"
        tuning = chip.tuning()
        assert (tuning.deaf, tuning.loss_db, tuning.reach_hz) == ("", 0.0, 31_250), "boost, errata 2.1 and 2.3"


def test_a_look_that_comes_late_gives_the_time_of_the_interrupt(world):
    (line,) = world.run(
        """
        modem.prepare_transmit(b'a', 868100000, 7, 125000, 16)
        modem.start()
        modem._fired()  # a handler that runs only now, of an edge before
        sleep_ms(500)
        event = modem.poll()
        print("sent", event.ticks_us)
        """,
        4,
    )
    (entry,) = world.uplinks()
    assert 0 <= at_us(line) - entry.end < 100 * US


def test_an_edge_that_the_port_lost_costs_no_frame(world):
    end = world.downlink(b"ours", START + 5 * S, 9)
    lines = world.run(
        """
        Pin.irq = lambda *_, **__: None
        modem.prepare_receive(869525000, 9, 125000, 12)
        until(5000000)
        modem.start()
        sleep_ms(500)
        event = modem.poll()
        print(event.phy.hex(), event.ticks_us)
        """,
        8,
    )
    assert lines[0][0] == b"ours".hex()
    assert at_us(lines[0]) >= end


def test_a_window_hears_what_begins_in_it_at_each_data_rate(world):
    script, ends = "", []
    for place, sf in enumerate(FACTORS):
        opens = 5_000_000 + place * 10_000_000
        early = START + opens * US
        # a preamble that began two symbols before, and one of which the window's last six symbols see the beginning
        late = early + 5 * S + (SYMBOLS - 6) * symbol_ns(sf)
        ends += [world.downlink(b"early", early - 2 * symbol_ns(sf), sf), world.downlink(bytes(51), late, sf)]
        script += f"listen({opens}, {sf}, {SYMBOLS})\nlisten({opens + 5_000_000}, {sf}, {SYMBOLS})\n"
    frames = [line for line in world.run(script, 70) if line[0] != "started"]
    assert [line[0] for line in frames] == ["frame"] * 12
    assert [line[2] for line in frames] == [b"early".hex(), bytes(51).hex()] * 6
    for line, end in zip(frames, ends, strict=True):
        assert 0 <= at_us(line) - end < 100 * US
        assert int(line[3]) in range(10, 14)
        assert int(line[4]) in range(-93, -73)
    assert {entry.outcome for entry in world.air.log} == {((world.chip.name, ""),)}


def test_a_window_without_a_preamble_closes_after_its_symbols(world):
    for sf, symbols in [(sf, count) for sf in FACTORS for count in (8, 26)]:
        lines = world.run(f"listen(3000000, {sf}, {symbols})", 10)
        started = START + (3_000_000 + int(lines[0][1])) * US
        opened = world.chip._opened_at
        assert lines[1][0] == "closed"
        assert abs(started - opened) < MS, "start returns when the receiver is on its way"
        assert 0 <= opened - START - 3 * S <= 3 * MS, "lead_us bounds the start"
        assert 0 <= at_us(lines[1]) - opened - symbols * symbol_ns(sf) < 100 * US, (sf, symbols)
        world.restart()


@pytest.mark.parametrize(
    "changes", [{"iq_inverted": False}, {"sync_word": 0x1424}, {"freq_hz": 868_100_000}], ids=["iq", "word", "channel"]
)
def test_a_foreign_frame_is_not_heard_and_the_next_is(world, changes):
    world.downlink(b"foreign", START + 5 * S, 9, **changes)
    end = world.downlink(b"ours", START + 8 * S, 9)
    lines = world.run("listen(5000000, 9, 12)\nlisten(8000000, 9, 12)", 12)
    assert [line[0] for line in lines] == ["started", "closed", "started", "frame"]
    assert lines[3][2] == b"ours".hex()
    assert 0 <= at_us(lines[3]) - end < 100 * US


def test_a_damaged_frame_closes_the_window_and_the_next_is_heard(world):
    damaged = world.downlink(b"uplink of a neighbour, inverted", START + 5 * S, 12, crc=True, optimised=False)
    world.downlink(b"ours", START + 9 * S, 12)
    lines = world.run("listen(5000000, 12, 12)\nlisten(9000000, 12, 12)", 15)
    assert [line[0] for line in lines] == ["started", "closed", "started", "frame"]
    assert 0 <= at_us(lines[1]) - damaged < 100 * US


def test_an_empty_frame_closes_the_window_and_the_next_is_heard(world):
    world.downlink(b"", START + 5 * S, 9)
    world.downlink(b"ours", START + 8 * S, 9)
    lines = world.run("listen(5000000, 9, 12)\nlisten(8000000, 9, 12)", 12)
    assert lines[3][:1] + lines[3][2:3] == ["frame", b"ours".hex()]


def test_after_sleep_everything_is_set_again(world):
    world.downlink(b"first", START + 4 * S, 12)
    world.downlink(b"second", START + 12 * S, 12)
    lines = world.run(
        """
        send(b'a', 868100000, 7, 18)
        listen(4000000, 12, 8)
        modem.sleep()
        sleep_ms(2000)
        print("asleep")
        sleep_ms(1000)
        send(b'b', 868100000, 12, 16)
        listen(12000000, 12, 8)
        modem.sleep()
        modem.sleep()
        """,
        20,
    )
    assert [line[0] for line in lines] == ["sent", "started", "frame", "asleep", "sent", "started", "frame"]
    first, second = world.uplinks()
    assert (first.what.power_dbm, second.what.power_dbm) == (16, 14)
    assert second.what.crc
    assert second.outcome == ((world.gateway.gateway_id, ""),)


def test_sleep_is_the_chips_deepest(world):
    world.run("modem.prepare_receive(868100000, 7, 125000, 8)\nmodem.sleep()\nsleep_ms(5000)", 4)
    assert world.chip.mode == 0
    assert getattr(world.chip, "_cold", True), "an SX126x keeps nothing"


def test_a_window_that_is_aborted_leaves_the_next_one_whole(world):
    world.downlink(b"ours", START + 6 * S, 9)
    lines = world.run(
        """
        modem.prepare_receive(868100000, 12, 125000, 200)
        modem.start()
        sleep_ms(100)
        modem.abort()
        listen(6000000, 9, 12)
        """,
        10,
    )
    assert [line[0] for line in lines] == ["started", "frame"]


def test_a_chip_that_is_not_there_is_one_sentence(world):
    world.wiring.spi.clear()
    world.wiring.outputs.clear()
    lines = world.run(
        """
        for verb, arguments in ((modem.prepare_transmit, (b'a', 868100000, 7, 125000, 16)), (modem.prepare_receive, (868100000, 7, 125000, 8))):
            try:
                verb(*arguments)
            except RadioError as fault:
                print(fault)
        modem.sleep()
        print("asleep")
        """,
        10,
    )
    assert len(lines) == 3
    for line in lines[:2]:
        assert "by micropython-lib:" in " ".join(line)
        assert "check its wiring" in " ".join(line)


def test_a_join_and_a_confirmed_uplink_through_the_runner(tmp_path, library, name):
    with node_world.World(tmp_path, board_file=CHIPS[name].board) as world:
        image = tmp_path / "flash.img"
        script = f"""
            import gc
            from lorawan import eu868
            from lorawan.mac import Mac
            from radio.runner import Runner

            class Store:
                def put(self, name, data):
                    pass

            mac = Mac(eu868, "{node_world.DEV_EUI}", "{node_world.JOIN_EUI}", "{node_world.APP_KEY}", os.urandom, None, None)
            runner = Runner(modem, mac, Store())
            while not mac.joined:
                sleep_ms(mac.wait_ms(0))
                print("join", runner.join().reason)
            sleep_ms(60000)
            outcome = runner.send(1, b"confirmed", True)
            print("uplink", outcome.sent, outcome.reason, outcome.downlink)
            gc.collect()
            print("heap", gc.mem_alloc())
            """
        build_image(image, board_files(name, library, script))
        board = world.supervisor.add(0, node_world.DEV_EUI, world.wiring, image, crystal_ppb=40_000)
        board.power_on()
        world.run(node_world.START + 10 * 60 * S)
        said = [line.split() for line in board.log().splitlines()]
    assert said[0] == ["join"]
    assert said[-2] == ["uplink", "True", "True"], said

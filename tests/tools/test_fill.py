"""`make run` fills the register by the sheets and the command that a city has, once."""

from vigie.register import Register

from tools.run.fill import clear, fill, fresh
from tools.run.state import Var, World
from tools.world.city import DAY, HOUR, MINUTE, SECOND
from tools.world.equip import house
from tools.world.sites import plan

SINCE = 1_790_000_000 * SECOND
WORLD = World(7, SINCE, SINCE + HOUR)


def test_the_register_has_the_worlds_sites_and_each_meters_first_segment(tmp_path):
    var = Var(tmp_path / "var")
    var.folder.mkdir()
    var.settings_file.write_text('[register]\npath = "gateway/register.sqlite"\n')
    sites = plan(WORLD.seed, 9)
    said = []

    def filled(boards, mounted):
        fill(var, WORLD, sites[:boards], mounted, said.append)
        with Register(var.register_file) as register:
            return register.version(), register.segments(), register

    when = {site.number: SINCE + site.number * 40 * MINUTE for site in sites}
    assert fresh(var, sites, every=False) == set(when)
    version, segments, _ = filled(6, when)
    assert [(row.site, row.epoch, row.anchor_count) for row in segments] == [("meter-0002", 1, 0), ("meter-0005", 1, 0)]
    # the count that the board would have, from its first start on, gives what the dial shows, to the contact's 10 L
    meter, home = segments[0], house(sites[2], WORLD.seed, SINCE)
    for after in (DAY, 9 * DAY):
        count = home.pulse_count(when[2] + after) - home.pulse_count(when[2])
        index = meter.anchor_ml + (count - meter.anchor_count) * meter.ml_per_pulse
        assert abs(index - home.volume_ml(when[2] + after)) <= 11_000
        assert count > 10

    # a second run with other instants: nothing changes; a third has one meter more
    later = {number: at + DAY for number, at in when.items()}
    assert filled(6, later)[:2] == (version, segments)
    assert [row.anchor_ns for row in filled(9, {8: later[8]})[1]] == [when[2], when[5], later[8]]

    # a meter whose board has lived already is not at 0 and gets no segment by itself
    (var.boards / sites[8].dev_eui).mkdir(parents=True)
    (var.boards / sites[8].dev_eui / "flash.img").touch()
    assert 8 not in fresh(var, sites, every=False)
    assert 8 in fresh(var, sites, every=True)
    clear(var)
    assert [row.site for row in filled(9, {2: when[2], 5: when[5]})[1]] == ["meter-0002", "meter-0005"]
    with Register(var.register_file) as register:
        assert [(row.site, row.depth_mm) for row in register.bins()] == [(f"bin-000{n}", 1500) for n in (1, 4, 7)]
        assert {(row.kind, row.interval_s) for row in register.devices()} == {
            ("air", 900),
            ("bin", 3600),
            ("meter", 21_600),
        }
        assert all(row.district and not row.address for row in register.sites())
    assert [line.partition(", ")[0] for line in said] == [
        f"  the register has the {count} sites" for count in (6, 6, 9, 9)
    ]
    (var.register / "segments.csv").write_text("site,serial,dev_eui,litres_per_pulse,since\nmeter-0002,,x,10,\n")
    fill(var, WORLD, sites, {}, said.append)
    assert said[4] == "  the register refuses segments.csv: line 2: serial is empty"

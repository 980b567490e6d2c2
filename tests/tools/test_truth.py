import itertools

import pytest

from tools.world import truth
from tools.world.truth import DAY, HOUR, MINUTE, SECOND, Bin, House, Street

NOW = 20_720 * DAY  # a UTC midnight
LITRE = 1000


def house(**changes):
    return House(**({"seed": 7, "site": "meter-1", "installed": NOW - 700 * DAY} | changes))


def test_volume_never_goes_back_and_a_second_object_agrees():
    one, two = house(), house()
    volumes = [one.volume_ml(NOW + hour * HOUR) for hour in range(24 * 14)]
    assert volumes == sorted(volumes)
    assert [two.volume_ml(NOW + hour * HOUR) for hour in reversed(range(24 * 14))] == volumes[::-1]
    a_year = one.volume_ml(NOW) - one.volume_ml(NOW - 365 * DAY)
    assert 40_000 * LITRE < a_year < 250_000 * LITRE


def test_each_day_without_a_leak_has_six_hours_without_flow():
    home = house()
    for day in range(60):
        night = [home.volume_ml(NOW + day * DAY - 2 * HOUR), home.volume_ml(NOW + day * DAY + 5 * HOUR)]
        assert night[0] == night[1]


def test_a_leak_leaves_no_hour_below_15_litres():
    leak_from = NOW + 6 * HOUR + 123
    leaking, tight = house(leak_from=leak_from), house()
    for hour in range(7, 72):
        at = NOW + hour * HOUR
        assert leaking.volume_ml(at + HOUR) - leaking.volume_ml(at) >= 15 * LITRE
        extra = leaking.volume_ml(at) - tight.volume_ml(at)
        assert abs(extra - 5 * (at - leak_from) // SECOND) <= 1
    assert leaking.volume_ml(leak_from) == tight.volume_ml(leak_from)


def test_pulses_are_the_first_instants_of_ten_litres():
    home = house(leak_from=NOW + DAY)
    pulses = home.pulses(NOW, NOW + 3 * DAY)
    assert len(pulses) > 100
    assert pulses == sorted(set(pulses))
    for when in pulses:
        assert home.volume_ml(when) % (10 * LITRE) == 0
        assert home.pulse_count(when) == home.pulse_count(when - 1) + 1
    assert home.pulse_count(NOW + 3 * DAY - 1) - home.pulse_count(NOW - 1) == len(pulses)
    assert home.pulses(NOW, pulses[3]) + home.pulses(pulses[3], NOW + 3 * DAY) == pulses


def test_the_contact_closes_with_each_pulse_and_opens_three_litres_later():
    home = house()
    edges = home.contact_edges(NOW, NOW + 3 * DAY)
    assert [when for when, closed in edges if closed] == home.pulses(NOW, NOW + 3 * DAY)
    assert all(one[1] != other[1] for one, other in itertools.pairwise(edges))
    for when, closed in edges:
        assert home.contact_closed(when) == closed
        assert home.contact_closed(when - 1) != closed
        assert home.volume_ml(when) % (10 * LITRE) == (0 if closed else 3 * LITRE)


def test_a_bin_fills_is_emptied_and_keeps_still_within_a_minute():
    bin_ = Bin(7, "bin-1")
    levels = [bin_.level_mm(NOW + hour * HOUR) for hour in range(24 * 14)]
    assert max(levels) - min(levels) > 600
    jumps = [hour for hour in range(1, len(levels)) if levels[hour] > levels[hour - 1]]
    assert 2 <= len(jumps) <= 4
    assert all(5 <= hour % 24 <= 7 for hour in jumps)
    assert min(levels) >= 120
    assert max(levels) <= 1500
    assert len({bin_.level_mm(NOW + 30 * MINUTE + second * SECOND) for second in range(60)}) == 1


def test_the_air_has_its_bad_evening_only_then_and_steps_of_15_s():
    street = Street(7, "air-1", NOW + 18 * HOUR, NOW + 22 * HOUR)
    assert max(street.pm(NOW + minute * MINUTE)[1] for minute in range(17 * 60)) < 35
    assert min(street.pm(NOW + 18 * HOUR + minute * MINUTE)[1] for minute in range(240)) > 60
    assert len({(street.pm(NOW + n * SECOND), street.climate(NOW + n * SECOND)) for n in range(15)}) == 1
    for hour in range(240):
        pm1, pm25, pm10 = street.pm(NOW + hour * HOUR)
        assert 0 <= pm1 < pm25 < pm10
        temperature, humidity = street.climate(NOW + hour * HOUR)
        assert -10_000 < temperature < 40_000
        assert 20_000 <= humidity <= 99_000


@pytest.mark.parametrize(("place", "swing"), [(truth.outdoor, 8000), (truth.meter_pit, 1500)])
def test_ambient_temperature_swings_daily(place, swing):
    values = [place(7, "x", NOW + minute * MINUTE) for minute in range(24 * 60)]
    assert 2 * swing - 4000 <= max(values) - min(values) <= 2 * swing + 4000
    assert max(abs(a - b) for a, b in itertools.pairwise(values)) < 100


def test_clock_errors_stay_in_their_bounds():
    boards = [f"{number:016x}" for number in range(300)]
    crystals = [truth.crystal_ppm(7, board) for board in boards]
    assert (min(crystals) < -35, max(crystals) > 35) == (True, True)
    assert all(-40 <= ppm <= 40 for ppm in crystals)
    warm = [truth.sleep_clock_ppm(7, board, 30_000) - truth.sleep_clock_ppm(7, board, 20_000) for board in boards]
    assert set(warm) == {5000}
    assert all(abs(truth.sleep_clock_ppm(7, board, -20_000)) <= 50_000 for board in boards)

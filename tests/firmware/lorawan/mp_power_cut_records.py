"""Power fails at every operation on the flash while a node's other records are written: each is old or new, the count never goes back."""

import vfs
from keep.flash import Flash, pack_count, unpack_count
from ram_flash import Chip, make, mount, torn

HOURS = 40


def writes():
    """(name, body): a meter's count each hour with a new epoch now and then, its days, its starts; lengths that fit inline and that do not."""
    for hour in range(HOURS):
        yield "count", pack_count(1 + hour // 10, 57 * hour + 1)
        if hour % 3 == 0:
            yield "days", bytes([hour]) * (19 * (hour // 3 + 1))
        if hour % 10 == 0:
            yield "starts", bytes([hour]) * 9


def test_power_cut_at_every_step_of_the_node_s_own_records():
    chip = Chip()
    make(chip)
    mount(chip, "/node")
    flash = Flash("/node/keep")
    kept = {}
    operations = lives = 0
    for name, body in writes():
        chip.begin()
        flash.put(name, body)
        base, journal = chip.end()
        operations += len(journal)
        for state, then in torn(base, journal):
            mount(then, "/after")
            again = Flash("/after/keep")
            for other in ("count", "days", "starts"):
                found = again.get(other)
                assert found == kept.get(other) or (other == name and found == body), (name, state, other)
            assert unpack_count(again.get("count")) >= unpack_count(kept.get("count"))
            again.put("count", pack_count(99, lives))  # what was left behind is in nobody's way
            assert Flash("/after/keep").get("count") == pack_count(99, lives)
            vfs.umount("/after")
            lives += 1
        chip.settle()
        kept[name] = body
    vfs.umount("/node")
    print(operations, "flash operations,", lives, "lives")
    assert operations > 200 and lives > 450, (operations, lives)

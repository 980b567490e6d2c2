# Runs inside MicroPython: micropython flash_wear.py IMAGE YEARS EVERY COUNTS
# A year's uplinks, one an hour, on a board's flash image; every EVERY-th is answered by a downlink (0: none is). COUNTS 1: a meter's
# count and days are stored as well. Prints one JSON object: puts, erases, most (of one block), programmed bytes.
import json
import sys

import vfs
from keep.flash import Flash, pack_count
from network import Device, Network, join_accept

BLOCK = 4096
HOUR_MS = 3600000


class Chip:
    """A board's flash in RAM that counts."""

    def __init__(self, image):
        self.image = image
        self.erases = [0] * (len(image) // BLOCK)
        self.programmed = 0

    def readblocks(self, block, buf, offset=0):
        start = block * BLOCK + offset
        buf[:] = memoryview(self.image)[start : start + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        start = block * BLOCK + offset
        self.image[start : start + len(buf)] = (
            buf  # littlefs programs erased bytes only (ram_flash.py holds it to that)
        )
        self.programmed += len(buf)

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.erases)
        if op == 5:
            return BLOCK
        if op == 6:
            self.image[arg * BLOCK : (arg + 1) * BLOCK] = b"\xff" * BLOCK
            self.erases[arg] += 1
        return 0


class Store:
    """The flash as the tests' Device asks for it."""

    def __init__(self, flash):
        self.flash = flash
        self.get = flash.get

    def __setitem__(self, name, data):
        self.flash.put(name, data)


def main(path, years, every, counts):
    with open(path, "rb") as file:
        chip = Chip(bytearray(file.read()))
    vfs.mount(vfs.VfsLfs2(chip, readsize=32, progsize=32, lookahead=32, mtime=False), "/board")
    flash = Flash("/board/keep")
    device = Device(Store(flash))
    assert device.join(join_accept(1)).reason == ""
    network = Network(0, 1)
    for hour in range(years * 8760):
        device.now = max(device.now, hour * HOUR_MS)
        if counts:
            flash.put("count", pack_count(1, 40 * hour))
            if hour % 24 == 0:
                flash.put("days", hour.to_bytes(4, "little") * 100)
        answer = network.down(port=20, data=b"x") if every and hour % every == 0 else None
        assert device.send(rx1=answer).sent
    print(
        json.dumps(
            {
                "puts": flash.writes,
                "erases": sum(chip.erases),
                "most": max(chip.erases),
                "worn": len([n for n in chip.erases if n]),
                "programmed": chip.programmed,
            }
        )
    )


main(sys.argv[1], *[int(text) for text in sys.argv[2:]])

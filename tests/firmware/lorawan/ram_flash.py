"""NOR flash in RAM under littlefs as the ESP32 port mounts it: it counts, records what is done to it, and can be had as it was in the midst of that.

A `Chip` may lie over another one, which it leaves as it is: so a state of the flash costs only the pages in which it differs.
"""

import vfs

BLOCK = 4096  # the ESP32 port's; read, program and lookahead sizes below as well (tools/virtual_board/flash.py)
BLOCKS = 512
SIZES = {"readsize": 32, "progsize": 32, "lookahead": 32}
_PAGE = 128
_ERASED = b"\xff" * _PAGE


class Chip:
    """The protocol of vfs.AbstractBlockDev. `own`: page number -> its bytes; a page that is nowhere is erased.

    `journal`: None, or the list of operations that are done from now on: (block, offset, data), data None for an erase.
    `erases`: None, or {block: count}.
    """

    def __init__(self, below=None):
        self.own = {}
        self.below = below
        self.journal = None
        self.erases = None

    def page(self, n):
        chip = self
        while chip:
            if n in chip.own:
                return chip.own[n]
            chip = chip.below
        return _ERASED

    def blank(self, block):
        """Whether a block is erased."""
        first = block * BLOCK // _PAGE
        return all(self.page(n) is _ERASED for n in range(first, first + BLOCK // _PAGE))

    def readblocks(self, block, buf, offset=0):
        at = 0
        n, start = divmod(block * BLOCK + offset, _PAGE)
        while at < len(buf):
            part = self.page(n)[start : start + len(buf) - at]
            buf[at : at + len(part)] = part
            at += len(part)
            n, start = n + 1, 0

    def writeblocks(self, block, buf, offset=0):
        self.do((block, offset, bytes(buf)))

    def ioctl(self, op, arg):
        if op == 4:
            return BLOCKS
        if op == 5:
            return BLOCK
        if op == 6:
            self.do((arg, 0, None))
        return 0

    def do(self, operation, half=False):
        """Carry an operation out, or the first half of it: power failed in its midst."""
        block, offset, data = operation
        if self.journal is not None:
            self.journal.append(operation)
        if data is None:
            first = block * BLOCK // _PAGE
            for n in range(first, first + BLOCK // _PAGE // (2 if half else 1)):
                if self.page(n) is not _ERASED:
                    self.own[n] = _ERASED
            if self.erases is not None:
                self.erases[block] = self.erases.get(block, 0) + 1
            return
        if half:
            data = data[: len(data) // 2]
        at = 0
        n, start = divmod(block * BLOCK + offset, _PAGE)
        while at < len(data):
            old = self.page(n)
            part = data[at : at + _PAGE - start]
            end = start + len(part)
            bits = int.from_bytes(old[start:end], "little") & int.from_bytes(
                part, "little"
            )  # programming only clears bits
            self.own[n] = old[:start] + bits.to_bytes(len(part), "little") + old[end:]
            at += len(part)
            n, start = n + 1, 0

    # --- one step of a life, to be had again in pieces

    def begin(self):
        """From here on everything is recorded, and what the flash held stays to be had."""
        under = Chip(self.below)
        under.own, self.own, self.below = self.own, {}, under
        self.journal = []

    def end(self):
        """(the flash as it was at `begin`, the operations since); `settle` must follow."""
        journal, self.journal = self.journal, None
        return self.below, journal

    def settle(self):
        """One layer again."""
        under = self.below
        under.own.update(self.own)
        self.own, self.below = under.own, under.below


def torn(base, journal):
    """(name, Chip) for each state that a power cut can leave: before and after each operation, and in its midst."""
    so_far = Chip(base)
    yield "0", Chip(so_far)
    for i, operation in enumerate(journal):
        half = Chip(so_far)
        half.do(operation, True)
        yield "half of %d" % (i + 1), half
        so_far.do(operation)
        yield "%d" % (i + 1), Chip(so_far)


def make(chip):
    """An empty littlefs."""
    vfs.VfsLfs2.mkfs(chip, **SIZES)


def mount(chip, where):
    """As on a board, without times of modification (docs/internals.md, section 1)."""
    vfs.mount(vfs.VfsLfs2(chip, mtime=False, **SIZES), where)

"""Power fails while littlefs moves the node's folder to fresh blocks, which it does after some 1,400 writes: the one moment that changes the root as well."""

from power_life import Air, Cuts, Life, fresh, joining_life

WRITES = 1400
ROOT = (0, 1)


def changes_root(journal):
    return any(block in ROOT for block, _, _ in journal)


def test_power_cut_at_every_step_of_the_folder_s_move():
    cuts = Cuts(double=3, chosen=changes_root)
    life = Life(fresh(WRITES), Air(), cuts)
    joining_life(life, 0)
    writes = 0
    while not cuts.puts and writes < 200:
        life.wake()
        assert life.send(lambda: life.air.down(port=3, data=b"one write each")).downlink
        writes += 1
    print(cuts, "after", writes, "writes")
    assert cuts.puts == 1 and cuts.operations > 6 and cuts.again > 200
    for _ in range(5):
        life.wake()
        life.send(lambda: life.air.down(port=3, data=b"the folder is where it was moved to"))
    life.off()

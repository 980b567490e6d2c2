"""Power fails at every operation on the flash and at every action of the Mac: from the first boot over lost accepts and four blocks of counters.

Over the life before the cut and the one after it no DevNonce and no FCntUp comes twice, the records are old or new, an old downlink stays
refused, and a node with a session does not join again (power_life.py).
"""

from struct import unpack

from power_life import Air, Cuts, Life, fresh, joining_life, session_life


def test_power_cut_at_every_step_of_a_first_life():
    cuts = Cuts()
    life = Life(fresh(30), Air(), cuts)
    joining_life(life, 3)
    assert unpack("<B4sIHi", life.flash.get("nonce"))[3] == 0, "an answered join ends the back-off"
    session_life(life, 200)
    print(cuts)
    assert cuts.operations > 200, cuts.operations
    assert cuts.compactions > 0
    assert life.air.session[1] == 199
    life.off()

"""Power fails at every operation on the flash and at every action of the Mac in the life of a device that never joins (ABP)."""

from power_life import Air, Cuts, Life, fresh, session_life


def test_power_cut_at_every_step_of_a_personalised_device():
    cuts = Cuts()
    life = Life(fresh(), Air(abp=True), cuts)
    session_life(life, 70)
    print(cuts)
    assert cuts.operations > 80, cuts.operations
    assert life.flash.get("nonce") is None and life.air.requests == 0
    life.off()

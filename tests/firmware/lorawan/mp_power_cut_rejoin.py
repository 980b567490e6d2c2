"""Power fails at every operation on the flash and at every action of the Mac in a rejoin and the session after it, and again in the lives after that."""

from power_life import Air, Cuts, Life, fresh, joining_life, session_life


def joined():
    life = Life(fresh(), Air())
    joining_life(life, 1)
    session_life(life, 70)
    return life


def test_power_cut_at_every_step_of_a_rejoin():
    life = joined()
    life.cuts = cuts = Cuts()
    joining_life(life, 3)
    session_life(life, 70)
    print(cuts)
    assert cuts.operations > 100, cuts.operations
    life.off()


def test_a_second_power_cut_in_the_life_after_the_first():
    cuts = Cuts(double=11)
    life = Life(fresh(), Air(), cuts)
    joining_life(life, 1)
    session_life(life, 30)
    joining_life(life, 1)
    session_life(life, 5)
    print(cuts)
    assert cuts.again > 600, cuts.again
    life.off()

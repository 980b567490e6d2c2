"""ADR back-off (TS001-1.0.4, 4.3.1.1, Table 9): what a device does when the network stays silent."""


def wanted(state, region):
    """Whether the next uplink asks the network for a sign of life (ADRACKReq)."""
    return state.adr_count >= region.ADR_ACK_LIMIT


def count(state, region):
    """Book a new uplink that brought no downlink and take the step that is due: full power, then data rates down, then the default channels.

    Repetitions of a frame are not counted. A step is taken after the windows, so that `Mac.room` holds for the next frame.
    """
    state.adr_count = min(0xFFFF, state.adr_count + 1)
    late = state.adr_count - region.ADR_ACK_LIMIT
    if late <= 0 or late % region.ADR_ACK_DELAY:
        return
    if late == region.ADR_ACK_DELAY:
        state.power = 0
    elif state.dr > region.DEFAULT_DR:
        state.dr -= 1
    else:
        state.nb_trans = 1
        state.mask |= (1 << len(region.CHANNELS)) - 1

"""A whole node with an RFM95W: joins, sends and hears through the SX1276's model and the air, as with the SX1262."""

from pathlib import Path

from node_world import DAY, DEV_EUI, HOUR, START, S, World
from vigie.payload import codes, health, meter


def test_a_meter_with_an_rfm95_joins_sends_and_hears(tmp_path: Path) -> None:
    with World(tmp_path, board_file="bare_s3_rfm95") as world:
        board = world.board()
        for minute in range(30, 60):
            world.reed.close(START + minute * 60 * S, S)
        board.power_on()
        world.run(START + DAY + 8 * HOUR)
        assert "Traceback" not in board.log()
        assert "radio:" not in board.log()
        uplinks = [entry for entry in world.air.log if entry.sender == DEV_EUI]
        assert {entry.outcome for entry in uplinks} == {((world.gateway.gateway_id, ""),)}
        # 16 dBm less the antenna's 2 dB; then ADR goes down in steps of 2 dB, PA_BOOST no further than 2 dBm
        powers = [entry.what.power_dbm for entry in uplinks]
        assert powers[0] == 14.0
        assert min(powers) < 12.0
        assert set(powers) <= {14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0}
        # every downlink was heard too: the join-accept, the time, what ADR asked
        downlinks = [entry for entry in world.air.log if entry.sender == world.gateway.gateway_id]
        assert len(downlinks) >= 3
        assert {entry.outcome for entry in downlinks} == {((DEV_EUI, ""),)}
        last = [frame for _when, port, frame in world.frames if port == meter.PORT][-1]
        assert not last.flags & codes.TIME_UNSURE
        assert last.days[0].count == len(world.reed.closings)
        report = [frame for _when, port, frame in world.frames if port == health.PORT][-1]
        assert report.exceptions == 0

"""A LoRaWAN device for driving devnet: the frames of one, built with devnet's own frame functions, and nothing of its timing."""

from __future__ import annotations

from ..devnet import frame


class Device:
    """`dev_eui`: hex; `app_key`: hex; `session`: (DevAddr, NwkSKey, AppSKey) once joined."""

    def __init__(self, dev_eui: str, app_key: str) -> None:
        self.dev_eui, self.key = dev_eui, bytes.fromhex(app_key)
        self.session: tuple[int, bytes, bytes] | None = None

    def join_request(self, dev_nonce: int, key: bytes | None = None) -> bytes:
        """A join-request with JoinEUI 0, signed with `key` if it is not the device's own."""
        signed = b"\0" + bytes(8) + bytes.fromhex(self.dev_eui)[::-1] + dev_nonce.to_bytes(2, "little")
        return signed + frame.cmac4(key or self.key, signed)

    def accept(self, phy: bytes, dev_nonce: int) -> None:
        """Takes a join-accept, whose MIC must hold."""
        plain = frame.encrypt_block(self.key, phy[1:])
        if frame.cmac4(self.key, phy[:1] + plain[:-4]) != plain[-4:]:
            raise ValueError("the join-accept's MIC does not hold")
        join_nonce = int.from_bytes(plain[:3], "little")
        keys = frame.session_keys(self.key, join_nonce, 0, dev_nonce)
        self.session = (int.from_bytes(plain[6:10], "little"), *keys)

    def phy(
        self,
        f_cnt: int,
        data: bytes = b"",
        port: int | None = 10,
        *,
        f_opts: bytes = b"",
        f_ctrl: int = frame.ADR,
        confirmed: bool = False,
    ) -> bytes:
        """A data uplink; `port` None: without FPort and payload."""
        if self.session is None:
            raise ValueError("the device has not joined")
        addr, nwk, app = self.session
        phy = bytes([0x80 if confirmed else 0x40]) + addr.to_bytes(4, "little") + bytes([f_ctrl | len(f_opts)])
        phy += (f_cnt & 0xFFFF).to_bytes(2, "little") + f_opts
        if port is not None:
            phy += bytes([port]) + frame.crypt_payload(app if port else nwk, frame.UP, addr, f_cnt, data)
        return phy + frame.data_mic(nwk, frame.UP, addr, f_cnt, phy)

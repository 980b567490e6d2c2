"""LoRaWAN 1.0.4 frames as the network server sees them: uplinks read, downlinks built.

Independent of the firmware's code on purpose: each side checks the other. AES and CMAC come from the `cryptography` package.
Clauses are those of TS001-1.0.4. DevAddr is an int, EUIs are lower-case hex, most significant byte first.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

JOIN_REQUEST, JOIN_ACCEPT = 0, 1
UNCONFIRMED_UP, UNCONFIRMED_DOWN, CONFIRMED_UP, CONFIRMED_DOWN = 2, 3, 4, 5

ADR, ADR_ACK_REQ, ACK, F_PENDING = 0x80, 0x40, 0x20, 0x10  # FCtrl bits (4.3.1); 0x10 is FPending downwards
UP, DOWN = 0, 1  # Dir in the B0 and A blocks (4.3.3, 4.4)


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """6.2.4. `mic` is the one received; `signed` the bytes it covers."""

    join_eui: str
    dev_eui: str
    dev_nonce: int
    mic: bytes
    signed: bytes


@dataclass(frozen=True, slots=True)
class DataUplink:
    """4.1–4.3. `f_cnt` holds the 16 bits of the air; `payload` is still encrypted; `port` is None where the frame has none."""

    confirmed: bool
    dev_addr: int
    f_ctrl: int
    f_cnt: int
    f_opts: bytes
    port: int | None
    payload: bytes
    mic: bytes
    signed: bytes


def parse_uplink(phy: bytes) -> JoinRequest | DataUplink | None:
    """A frame from a device, or None for what is no LoRaWAN R1 uplink of a known type or is cut short."""
    if len(phy) < 12 or phy[0] & 0x03:  # Major 0 is LoRaWAN R1 (4.2.2)
        return None
    kind = phy[0] >> 5
    if kind == JOIN_REQUEST:
        if len(phy) != 23:
            return None
        nonce = int.from_bytes(phy[17:19], "little")
        return JoinRequest(phy[8:0:-1].hex(), phy[16:8:-1].hex(), nonce, phy[19:], phy[:19])
    if kind not in (UNCONFIRMED_UP, CONFIRMED_UP):
        return None
    f_ctrl = phy[5]
    body = 8 + (f_ctrl & 0x0F)
    if body > len(phy) - 4:
        return None
    port = phy[body] if body < len(phy) - 4 else None
    return DataUplink(
        confirmed=kind == CONFIRMED_UP,
        dev_addr=int.from_bytes(phy[1:5], "little"),
        f_ctrl=f_ctrl,
        f_cnt=int.from_bytes(phy[6:8], "little"),
        f_opts=phy[8:body],
        port=port,
        payload=phy[body + 1 : -4],
        mic=phy[-4:],
        signed=phy[:-4],
    )


def cmac4(key: bytes, data: bytes) -> bytes:
    """The first four bytes of AES-CMAC (RFC 4493)."""
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()[:4]


def encrypt_block(key: bytes, block: bytes) -> bytes:
    """AES-128 in ECB over whole blocks."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def data_mic(key: bytes, direction: int, dev_addr: int, f_cnt: int, signed: bytes) -> bytes:
    """4.4: CMAC over B0 and the frame, with the whole 32-bit counter."""
    head = dev_addr.to_bytes(4, "little") + f_cnt.to_bytes(4, "little")
    return cmac4(key, b"\x49\0\0\0\0" + bytes([direction]) + head + b"\0" + bytes([len(signed)]) + signed)


def crypt_payload(key: bytes, direction: int, dev_addr: int, f_cnt: int, data: bytes) -> bytes:
    """4.3.3: the same operation encrypts and decrypts."""
    head = b"\x01\0\0\0\0" + bytes([direction]) + dev_addr.to_bytes(4, "little") + f_cnt.to_bytes(4, "little") + b"\0"
    blocks = b"".join(head + bytes([i]) for i in range(1, (len(data) + 15) // 16 + 1))
    return bytes(a ^ b for a, b in zip(data, encrypt_block(key, blocks), strict=False))


def join_accept_body(
    join_nonce: int, net_id: int, dev_addr: int, dl_settings: int, rx_delay: int, cf_list: bytes
) -> bytes:
    """6.2.5, plain and without MHDR and MIC: 12 bytes and a CFList of 0 or 16."""
    head = join_nonce.to_bytes(3, "little") + net_id.to_bytes(3, "little") + dev_addr.to_bytes(4, "little")
    return head + bytes([dl_settings, rx_delay]) + cf_list


def join_accept(app_key: bytes, body: bytes) -> bytes:
    """The frame on the air: body and MIC run through AES *decryption*, so that a device needs encryption only (6.2.5)."""
    mhdr = bytes([JOIN_ACCEPT << 5])
    plain = body + cmac4(app_key, mhdr + body)
    return mhdr + Cipher(algorithms.AES(app_key), modes.ECB()).decryptor().update(plain)


def session_keys(app_key: bytes, join_nonce: int, net_id: int, dev_nonce: int) -> tuple[bytes, bytes]:
    """(NwkSKey, AppSKey) of a 1.0.x session (6.2.5)."""
    tail = join_nonce.to_bytes(3, "little") + net_id.to_bytes(3, "little") + dev_nonce.to_bytes(2, "little") + bytes(7)
    return encrypt_block(app_key, b"\x01" + tail), encrypt_block(app_key, b"\x02" + tail)


def data_downlink(
    nwk_s_key: bytes,
    key: bytes,
    dev_addr: int,
    f_ctrl: int,
    f_cnt: int,
    f_opts: bytes,
    port: int | None,
    data: bytes,
    *,
    confirmed: bool,
) -> bytes:
    """A whole downlink. `f_ctrl` comes without FOptsLen; `data` is plain and encrypted here with `key`."""
    kind = CONFIRMED_DOWN if confirmed else UNCONFIRMED_DOWN
    frame = bytes([kind << 5]) + dev_addr.to_bytes(4, "little") + bytes([f_ctrl | len(f_opts)])
    frame += (f_cnt & 0xFFFF).to_bytes(2, "little") + f_opts
    if port is not None:
        frame += bytes([port]) + crypt_payload(key, DOWN, dev_addr, f_cnt, data)
    return frame + data_mic(nwk_s_key, DOWN, dev_addr, f_cnt, frame)


def full_f_cnt(next_expected: int, received: int) -> int:
    """The 32-bit counter behind 16 received bits; the one just before `next_expected` is a repetition, not a turn of 2¹⁶."""
    if received == (next_expected - 1) & 0xFFFF and next_expected:
        return next_expected - 1
    return (next_expected + ((received - next_expected) & 0xFFFF)) & 0xFFFFFFFF

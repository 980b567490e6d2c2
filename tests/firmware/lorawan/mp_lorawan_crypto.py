"""AES-CMAC against RFC 4493, section 4; frames against vectors published elsewhere."""

from lorawan import eu868, frame
from lorawan.crypto import UP, Key, crypt, data_mic
from lorawan.join import Joiner
from lorawan.session import State

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


def test_rfc_4493():
    for length, mac in (
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ):
        assert Key(KEY).cmac(MESSAGE[:length]).hex() == mac, length


def test_published_data_frame():
    phy = bytes.fromhex("40F17DBE4900020001954378762B11FF0D")
    nwk = Key(bytes.fromhex("44024241ed4ce9a68c6a8bc055233fd3"))
    app = Key(bytes.fromhex("ec925802ae430ca77fd3dd73cb2cc588"))
    assert data_mic(nwk, phy[:-4], UP, phy[1:5], 2) == phy[-4:]
    assert crypt(app, phy[9:-4], UP, phy[1:5], 2) == b"test"
    assert frame.data_up(nwk, app, phy[1:5], 2, 0, b"", 1, b"test", False) == phy


def test_published_join_request():
    phy = bytes.fromhex("0039363463336913AA05693574323831330489C65B1304")
    key = Key(bytes.fromhex("98929b92c49edba9676d646d3b612456"))
    expected = phy[:-4] + key.cmac(phy[:-4])[:4]
    joiner = Joiner(eu868, State(eu868, bytes(4)), key, phy[1:17], bytes, None)
    joiner.dev_nonce = phy[17] | phy[18] << 8
    built = joiner.request()
    assert built == expected
    assert built == phy, built.hex()


def test_key_of_a_wrong_length_is_named():
    try:
        Key(b"short")
    except ValueError as error:
        assert str(error) == "AES key: 5 bytes, expected 16"
    else:
        raise AssertionError("taken")

"""The page's account: the file, wrong passwords, sessions, patience."""

import stat

import pytest
from vigie.errors import SettingsError, UsageError
from vigie.web.account import Account, set_password

PASSWORD = "right horse"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A thousandth of the work, which the file states and the check obeys."""
    monkeypatch.setattr("vigie.web.account._N", 2**5)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "web.password"
    set_password(path, PASSWORD)
    return path


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


def test_the_file_is_the_owners_and_holds_no_password(file):
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD not in file.read_text()
    first = file.read_text()
    set_password(file, PASSWORD)
    assert file.read_text() != first  # another salt
    assert [one.name for one in file.parent.iterdir()] == ["web.password"]


@pytest.mark.parametrize("password", ["", "too short", "x" * 1025])
def test_a_password_of_a_wrong_length_is_refused_without_being_shown(tmp_path, password):
    with pytest.raises(UsageError) as refused:
        set_password(tmp_path / "file", password)
    assert "10 to 1024" in str(refused.value)
    assert not password or password not in str(refused.value)


def test_bytes_that_are_no_utf_8_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="it is not UTF-8"):
        set_password(tmp_path / "file", b"\xff\xfeten or more".decode("utf-8", "surrogateescape"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere.*No such file.*password_file"):
        set_password(tmp_path / "nowhere" / "file", PASSWORD)


def test_only_the_password_opens_and_only_until_it_is_over(file, clock):
    account = Account(file, clock)
    assert account.trouble() is None
    assert account.sign_in("a", "wrong horse") is None
    token = account.sign_in("a", PASSWORD)
    assert account.signed_in(token)
    for other in (None, "", token[:-1], token + "x", "é"):
        assert not account.signed_in(other)
    clock.now = 7 * 86_400 - 1
    assert account.signed_in(token)
    clock.now = 7 * 86_400
    assert not account.signed_in(token)


def test_signing_out_ends_one_session_and_a_new_password_all(file, clock):
    account = Account(file, clock)
    one, other = account.sign_in("a", PASSWORD), account.sign_in("a", PASSWORD)
    account.sign_out(one)
    assert not account.signed_in(one)
    assert account.signed_in(other)
    set_password(file, PASSWORD)
    assert not account.signed_in(other)
    file.unlink()
    assert not account.signed_in(other)


def test_wrong_passwords_cost_their_own_address_time(file, clock):
    account = Account(file, clock)
    for _ in range(4):
        account.sign_in("a", "wrong horse")
    assert account.wait_s("a") == 0
    waits = []
    for _ in range(9):
        account.sign_in("a", "wrong horse")
        waits.append(account.wait_s("a"))
    assert waits == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert account.wait_s("b") == 0
    clock.now += 900
    assert account.wait_s("a") == 0
    assert account.sign_in("a", PASSWORD)
    account.sign_in("a", "wrong horse")
    assert account.wait_s("a") == 0  # forgiven


def test_the_oldest_of_very_many_sessions_goes(file, clock, monkeypatch):
    monkeypatch.setattr("vigie.web.account._MOST_SESSIONS", 2)
    account = Account(file, clock)
    tokens = [account.sign_in("a", PASSWORD) for _ in range(3)]
    assert [account.signed_in(token) for token in tokens] == [False, True, True]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"scrypt": [1], "salt": "00", "hash": "00"}', '{"scrypt": [2, 8, 1], "salt": "x", "hash": ""}'],
)
def test_a_damaged_file_lets_nobody_in(tmp_path, text):
    path = tmp_path / "file"
    assert Account(path).trouble() == "missing"
    path.write_text(text)
    account = Account(path)
    assert account.trouble() == "unreadable"
    assert not account.signed_in("x")

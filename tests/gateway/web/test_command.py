"""`vigie web password`: set, made, refused; one line each."""

import subprocess
import sys

import pytest
from vigie.web.account import Account


@pytest.fixture
def vigie(tmp_path):
    (tmp_path / "vigie.toml").write_text("[web]\npassword_file = 'page.password'\n")

    def run(*words, typed=""):
        command = [sys.executable, "-m", "vigie", "--settings", str(tmp_path / "vigie.toml"), "web", *words]
        told = subprocess.run(command, input=typed, capture_output=True, text=True, check=False, timeout=60)
        return told.returncode, told.stdout, told.stderr

    return run


def test_a_line_on_standard_input_is_the_password(vigie, tmp_path):
    file = tmp_path / "page.password"
    assert vigie("password", typed="typed by hand\n") == (0, f"password set in {file}\n", "")
    assert Account(file).sign_in("a", "typed by hand")


def test_a_made_one_is_printed_once_and_is_good(vigie, tmp_path):
    code, password, error = vigie("password", "--generate")
    assert (code, error) == (0, "")
    assert len(password.strip()) == 20
    assert Account(tmp_path / "page.password").sign_in("a", password.strip())


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (("password",), "short\n", "vigie: web password: it has 5 characters; give 10 to 1024\n"),
        (("password",), "", "vigie: web password: it has 0 characters; give 10 to 1024\n"),
        (("pasword",), "", "Did you mean 'password'?"),
        (("password", "--generte"), "", "No such option: --generte"),
    ],
)
def test_what_is_wrong_is_one_line(vigie, tmp_path, words, typed, said):
    code, out, error = vigie(*words, typed=typed)
    assert (code, out) == (2, "")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "page.password").exists()

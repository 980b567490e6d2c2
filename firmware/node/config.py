"""`/config.json`: who this node is."""

import json

PATH = "/config.json"
KINDS = ("meter", "bin", "air")
BOARDS = ("bare_s3", "bare_s3_rfm95")  # files of boards/
_DIGITS = {"dev_eui": 16, "join_eui": 16, "app_key": 32}


class ConfigError(Exception):
    """Text: the file, the key, what is wrong and what belongs there, in one line."""


class Config:
    """The checked values, all text; `dev_eui`, `join_eui` and `app_key` as lower-case hex, most significant byte first."""

    def __init__(self, values):
        """From the file's object; ConfigError at the first key that is missing or wrong."""
        if not isinstance(values, dict):
            raise ConfigError("config.json: an object {...} is needed")
        self.kind = _word(values, "kind", KINDS)
        self.board = _word(values, "board", BOARDS)
        self.region = _word(values, "region", ("eu868",))
        self.dev_eui = _hex(values, "dev_eui")
        self.join_eui = _hex(values, "join_eui")
        self.app_key = _hex(values, "app_key")


def _word(values, key, known):
    value = values.get(key)
    if value not in known:
        raise ConfigError("config.json: %s is %s; one of %s is needed" % (key, _shown(value), ", ".join(known)))
    return value


def _hex(values, key):
    value = values.get(key)
    digits = _DIGITS[key]
    if not isinstance(value, str) or len(value) != digits or any(c not in "0123456789abcdefABCDEF" for c in value):
        shown = "missing" if value is None else "wrong"  # never the key itself: it is a secret
        raise ConfigError("config.json: %s is %s; %d hex digits are needed" % (key, shown, digits))
    return value.lower()


def _shown(value):
    return "missing" if value is None else repr(value)


def load():
    """The node's Config; ConfigError says what to mend."""
    try:
        with open(PATH) as file:
            values = json.load(file)
    except OSError:
        raise ConfigError("config.json: missing; copy one onto the board")
    except ValueError:
        raise ConfigError("config.json: not JSON; copy it again")
    return Config(values)

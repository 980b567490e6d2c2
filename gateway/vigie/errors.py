"""What can go wrong for a person to mend: one class a cause, one sentence, one exit code.

`str(error)` is the whole line that the command prints: what, where, what to do.
"""

EXIT_FAILED = 1  # a check found something, or a command could not do what was asked
EXIT_USAGE = 2  # the command line is wrong (typer's own code)
EXIT_SETTINGS = 3
EXIT_SPOOL = 4
EXIT_BROKER = 5
EXIT_INFLUXDB = 6
EXIT_REGISTER = 7


class VigieError(Exception):
    """Root of all errors that a person can mend; `exit_code` is what the process ends with."""

    exit_code = EXIT_FAILED


class UsageError(VigieError):
    """A word on the command line is not what the command takes."""

    exit_code = EXIT_USAGE


class SettingsError(VigieError):
    """The settings file or an environment variable is missing or wrong."""

    exit_code = EXIT_SETTINGS


class SpoolError(VigieError):
    """The spool cannot be opened, is locked by another gateway, or is damaged."""

    exit_code = EXIT_SPOOL


class SpoolFull(SpoolError):
    """The spool is at its limit or its disk is full: nothing more is acknowledged until there is room."""


class BrokerError(VigieError):
    """The MQTT broker cannot be reached, refuses the session, or grants less than QoS 1."""

    exit_code = EXIT_BROKER


class InfluxError(VigieError):
    """InfluxDB cannot be reached or refuses a token, an organisation or a bucket."""

    exit_code = EXIT_INFLUXDB


class RegisterError(VigieError):
    """The register cannot be opened, or cannot take what it was given."""

    exit_code = EXIT_REGISTER

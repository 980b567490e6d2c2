"""`python -m tools.run`: what `make run` starts."""

import signal
import sys

# While the rooms are being imported nothing runs yet that would have to be stopped: Ctrl-C ends it without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from .main import main  # noqa: E402

sys.exit(main(sys.argv[1:]))

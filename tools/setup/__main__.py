"""`python3 -m tools.setup`; kept to old syntax so that an old Python gets a sentence, not a SyntaxError."""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "set-up: Python 3.11 or newer is needed, this is %d.%d (%s); on Debian 12 or newer: apt-get install python3"
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )

from .main import main

sys.exit(main())

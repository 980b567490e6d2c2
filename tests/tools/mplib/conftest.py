"""Makes `mplib_world` and the node tests' `node_world` importable: with importlib mode a test's folder is not on the path."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.with_name("node"))]

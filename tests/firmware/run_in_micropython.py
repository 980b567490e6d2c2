# Runs inside MicroPython: micropython run_in_micropython.py FILE NAME...
# Calls each named test of FILE in turn and prints one verdict a test; the collector in conftest.py reads them.
import gc
import sys

path = sys.argv[1]
# MicroPython put this script's folder first; its folders are named like the rooms they test and would hide them.
sys.path.pop(0)
module = {"__name__": path.rsplit("/", 1)[-1][:-3], "__file__": path}
with open(path) as file:
    exec(compile(file.read(), path, "exec"), module)
for name in sys.argv[2:]:
    print("\x02RUN", name)
    gc.collect()
    try:
        module[name]()
    except BaseException as error:
        sys.print_exception(error)
        print("\x02FAIL", name)
    else:
        print("\x02PASS", name)

# Runs inside MicroPython for `make fuzz`: micropython fuzz_rounds.py SEED FIRST STEP SECONDS COUNT
# Rounds FIRST, FIRST + STEP, … until SECONDS are over or COUNT downlinks were fed in (0: as many as there is time for). Every two seconds
# one line of JSON. What goes wrong ends it with the round and the frame: fuzz_rounds.py SEED ROUND 1 0 0 has that round again.
import json
import sys
import time

sys.path.pop(0)  # this script's folder comes again behind the firmware, whose rooms are named like tests' folders
from fuzz_mac import Fuzz

SHARES = (25, 70, 4, 0)  # of valid downlinks in a hundred, by round


def main(seed, number, step, seconds, count):
    fuzz = Fuzz(seed)
    second = 1000000000
    told = began = time.time_ns()
    rounds = 0
    while True:
        fuzz.valid = SHARES[number % len(SHARES)]
        fuzz.round(number)
        number += step
        rounds += 1
        now = time.time_ns()
        over = now - began >= seconds * second or (count and fuzz.frames >= count)
        if over or now - told >= 2 * second:
            told = now
            print(
                json.dumps(
                    {"rounds": rounds, "downlinks": fuzz.frames, "taken": fuzz.taken, "join_requests": fuzz.joins}
                )
            )
        if over:
            return


main(*[int(text) for text in sys.argv[1:]])

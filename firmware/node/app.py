"""The application, one longer wake: sample, join, send what is due, obey the clock, sleep."""

import gc
import time

import schedule
from keep import core as records
from keep import days
from keep import work as agenda
from keep.core import NO_CONTACT
from keep.flash import Flash
from keep.rtc import CORE, PAST, WORK, now
from keep.work import NEVER, Work
from machine import ADC, WDT, Pin

from node import boot, config, faults

WATCHDOG_MS = 180_000  # the longest stretch without a feed: warm-up, or one exchange at DR0 with its repetitions
SOON_MS = 3_000  # what is due so soon is waited for, not slept for
PASSES = 12  # what still is due then waits for the next wake
# after an unanswered time request, doubled each time; a node that does not know the time is no use until it does
RETRY_MS, RETRY_UNKNOWN_MS, RETRY_MOST_MS = 15 * 60_000, 60_000, 2 * 3_600_000
ASK_AGAIN_MS = 60_000
ANNOUNCE_MS = 600_000  # so long after a start the first count of an epoch, unanswered, is sent again each minute
RADIO_MS = 15 * 60_000  # a modem that does not answer is tried again
MISCONFIGURED_MS = 3_600_000
DAY_MS = 86_400_000
RING = {"bin": (4, 96), "air": (10, 48)}  # bytes and entries kept: four days, twelve hours

running = None  # the Node of this wake, for faults.survive


def run(memory, core, slept):
    """Serves everything that is due and sleeps. `core`: what RTC memory held, or None; `slept`: this is a wake."""
    global running
    import boards

    try:
        settings = config.load()
    except config.ConfigError as error:
        # which board this is stands in the file that is wrong: LED, button and contact are where the first one has them
        return _misconfigured(memory, core, boards.load(config.BOARDS[0]), slept, error)
    board = boards.load(settings.board)
    flash = Flash()
    body = memory.get(WORK, agenda.VERSION)
    if slept and body is not None:
        work = Work(body)
    else:
        from node import start

        start.cable(board)
        core, work = start.revive(
            memory, core if core is not None and body is not None else None, settings.kind, board, flash
        )
    node = running = Node(memory, core, work, settings, board, flash)
    node.serve()
    return boot.sleep(memory, core)


def _misconfigured(memory, core, board, slept, error):
    """Safe mode without keys: pulses are still counted if the node knew its contact; one line for the cable, three flashes."""
    from node import start

    print("vigie:", error)
    if not slept:
        start.cable(board)
    start.misconfigured(board)
    core = core if core is not None and slept else records.Core()
    core.wake_at = now() + MISCONFIGURED_MS
    boot.sleep(memory, core)


class Node:
    """The rooms of one wake: what is kept, the contact's watch, and the link once something has to be sent."""

    def __init__(self, memory, core, work, settings, board, flash):
        self.memory = memory
        self.core = core
        self.work = work
        self.settings = settings
        self.kind = settings.kind
        self.board = board
        self.flash = flash
        self.link = None
        self._battery = 0
        self._untold = False
        self._watch = None
        self._watchdog = WDT(timeout=WATCHDOG_MS)
        core.awake = True
        if core.contact != NO_CONTACT:
            from pulse.contact import Watch

            self._watch = Watch(core.contact, core.closed)
        self.keep()

    def keep(self):
        """RTC memory gets what this wake has done so far."""
        self.memory.put(CORE, records.VERSION, self.core.pack())
        if self.link:
            self.work.session = self.link.session()
        self.memory.put(WORK, agenda.VERSION, self.work.pack())
        self.memory.save()

    def feed(self):
        """The watchdog: this wake is alive."""
        self._watchdog.feed()

    def battery(self):
        """mV, measured once a wake, before the radio draws current."""
        if not self._battery:
            from sensors.battery import Battery

            adc = ADC(Pin(self.board.BATTERY_ADC), atten=ADC.ATTN_11DB)
            self._battery = Battery(adc, self.board.BATTERY_DIVIDER).millivolts()
        return self._battery

    # --- pulses and readings

    def take_pulses(self, last=False):
        """Counts what the contact did since the last call, and closes hours and days; `last`: the node is about to sleep."""
        if self._watch is None:
            return
        for rtc in self._watch.close() if last else self._watch.take():
            self._close_days(self.core.pulse(rtc), rtc)
        self._close_days(self.core.pass_time(now()), now())
        self.core.closed = self._watch.closed
        if last:
            self._watch = None

    def _close_days(self, closed, rtc):
        if closed:
            from keep.midnights import close

            close(self.memory, self.core, closed, rtc, self.flash)

    def ring(self):
        """The readings that a bin or an air node keeps."""
        from keep import ring

        return ring.Ring(*RING[self.kind], self.memory.get(PAST, ring.VERSION))

    def put_ring(self, kept):
        """Keeps them again."""
        from keep import ring

        self.work.dropped += kept.dropped
        kept.dropped = 0
        self.memory.put(PAST, ring.VERSION, kept.pack())

    def waiting(self):
        """Readings that no frame has carried, or days that are not proven sent."""
        if self.kind != "meter":
            return self.ring().waiting()
        kept = days.entries(self.memory.get(PAST, days.VERSION) or b"")
        return len([entry for entry in kept if not entry[6] & days.PROVEN])

    # --- one wake

    def serve(self):
        """All that is due, then what follows soon; ends with `core.wake_at` set and everything kept."""
        self.battery()
        for _ in range(PASSES):
            self._pass()
            wait = self._plan() - now()
            if wait > SOON_MS:
                break
            time.sleep_ms(max(0, wait))
        self.take_pulses(True)
        if self.core.faults and self.work.safe_until <= now():
            self._recovered()
        self.keep()

    def _recovered(self):
        starts = faults.Starts(self.flash)
        starts.row = self.core.faults = 0
        starts.put()

    def _pass(self):
        self.feed()
        safe = self._safe()
        if not safe and self._due(self.work.sample):
            self._sample()
        self.take_pulses()
        if self._joining() or not self._something_to_send(safe):
            return
        if not self._open_link().joined:
            self._join()
            return
        if self._due(self.work.health) or now() >= self.work.ask_at:
            self._send_health()
        if not safe and not self._joining() and (self._due(self.work.report) or self._moment_due()):
            self._send_report()

    def _safe(self):
        if self.core.faults < faults.ROW:
            return False
        if not self.work.safe_until:
            self.work.safe_until = now() + faults.SAFE_MS
        if now() < self.work.safe_until:
            return True
        self.work.safe_until = 0
        self.core.faults = faults.ROW - 1  # one try; the next exception leads back at once
        return False

    def _due(self, utc):
        return self.core.clock.known and self.core.clock.now(now()) >= utc - 20

    def _moment_due(self):
        return self.kind == "meter" and not self.core.clock.known and now() >= self.work.moment_at

    def _joining(self):
        return now() < self.work.join_at

    def _something_to_send(self, safe):
        if self._due(self.work.health) or now() >= self.work.ask_at:
            return True
        return not safe and (self._due(self.work.report) or self._moment_due())

    def _sample(self):
        from schedule import SAMPLE_EVERY

        from node import sampling

        lead = sampling.LEAD_MS[self.kind]
        every = SAMPLE_EVERY[self.kind]
        boundary = self.work.sample + lead
        self.feed()
        clock = self.core.clock
        reading = sampling.take(self.kind, self.board, clock, boundary)
        kept = self.ring()
        kept.add(boundary // 1000, reading, clock.uncertain(now()))
        self.put_ring(kept)
        self.work.sample = schedule.following(max(boundary, clock.now(now())), every) - lead
        self.keep()

    # --- the link

    def _open_link(self):
        if self.link is None:
            gc.collect()  # code is loaded into a heap without holes
            from node.link import Link

            self.link = Link(self)
            gc.collect()
        return self.link

    def _join(self):
        link = self._open_link()
        link.join()
        if link.joined:
            self.work.announced = False
            self.work.join_at = 0
            self.work.ask_at = now()
            self.work.moment_at = now()
            if self.core.clock.known:
                self.work.health = self.work.report = self.core.clock.now(now())
            print("vigie: joined")
        else:
            wait = max(1_000, link.wait_ms())
            self.work.join_at = now() + wait
            print("vigie: no join-accept; the next request in {} s".format(wait // 1000))
        self.keep()

    def _send_health(self):
        from node import reports

        asks = self.asks_time()
        self._untold = False
        outcome = reports.health(self)
        if not outcome.sent:
            return self._postpone(outcome)
        self._untold = asks and not outcome.downlink
        print("vigie: health report sent" + (", answered" if outcome.downlink else ""))
        if self.core.clock.known:
            utc = self.core.clock.now(now())
            self.work.health = schedule.following(utc, DAY_MS, schedule.health_offset(self.settings.dev_eui))
        return None

    def _send_report(self):
        from node import reports

        if self.kind == "meter":
            # The count of a new epoch goes with each report until the network has proved that it got it.
            outcome, told = reports.meter(self, not self.work.announced)
            self.work.announced = self.work.announced or told
            self.work.moment_at = now() + DAY_MS
        else:
            outcome = reports.readings(self, self.kind)
        if outcome is not None and not outcome.sent:
            return self._postpone(outcome)
        if self.core.clock.known:
            self._next_report(0 if self.work.report == NEVER else self.work.report)
            if self.kind == "meter" and not self.work.announced and now() - self.work.start < ANNOUNCE_MS:
                self.work.report = self.core.clock.now(now()) + RETRY_UNKNOWN_MS
        return None

    def _next_report(self, sent=0):
        """The report after now, and after the one due at `sent`: a clock that was just set back does not repeat it."""
        utc = max(sent, self.core.clock.now(now()))
        offset = schedule.report_offset(self.settings.dev_eui, self.kind)
        self.work.report = schedule.following(utc, schedule.REPORT_EVERY[self.kind], offset)

    def _postpone(self, outcome):
        """A frame that could not leave comes again when it may, nothing of it lost."""
        wait = max(RADIO_MS if outcome.reason == "radio" else 1_000, self._open_link().wait_ms())
        self.work.join_at = now() + wait

    # --- the clock

    def answered_time(self, outcome):
        """Sets the clock by a DeviceTime answer; what hangs on the time follows. None: the request had no answer."""
        if outcome is None:
            self.work.misses += 1
            retry = RETRY_MS if self.core.clock.known else RETRY_UNKNOWN_MS
            self.work.ask_at = now() + min(retry << min(self.work.misses - 1, 7), RETRY_MOST_MS)
            return
        rtc, utc = outcome
        clock = self.core.clock
        self.take_pulses()  # what came before belongs to the old time
        known, bound = clock.known, 3 * clock.uncertainty(rtc) + 10_000
        moved = clock.set(rtc, utc)
        self.work.misses = 0
        if moved is not None and (not known or abs(moved) > bound):
            self.core.hours.stepped(clock.now(now()), self.core.count)
            self._plan_anew(known)
        good = clock.rtc_span(max(ASK_AGAIN_MS, clock.good_for(now())))
        # a health report that asked in vain may never have come, the first after a start among them: it asks again
        self.work.ask_at = now() + (0 if self._untold else good)

    def asks_time(self):
        """Whether the next uplink asks: it is due, or the clock would not hold until the frame after it."""
        good = self.core.clock.good_for(now())
        return now() >= self.work.ask_at or good <= schedule.REPORT_EVERY[self.kind] + ASK_AGAIN_MS

    def _plan_anew(self, known):
        utc = self.core.clock.now(now())
        if self.kind in schedule.SAMPLE_EVERY:
            from node.sampling import LEAD_MS

            every, lead = schedule.SAMPLE_EVERY[self.kind], LEAD_MS[self.kind]
            self.work.sample = schedule.following(utc + lead, every) - lead
        else:
            self.work.sample = NEVER
        self._next_report()
        if self.kind == "meter" and not known:
            self.work.report = utc  # the commissioning report, with the count of the moment
        self.work.health = schedule.following(utc, DAY_MS, schedule.health_offset(self.settings.dev_eui))

    def _plan(self):
        """Sets `core.wake_at` to the RTC ms at which the next thing is due, and returns it."""
        work, clock, rtc = self.work, self.core.clock, now()
        safe = self._safe()
        send = [work.ask_at]
        other = [work.safe_until] if safe else []
        if clock.known:
            utc = clock.now(rtc)
            send += [rtc + clock.rtc_span(at - utc) for at in ((work.health,) if safe else (work.health, work.report))]
            if work.sample != NEVER and not safe:
                other.append(rtc + clock.rtc_span(work.sample - utc))
            if self.kind == "meter":  # a second after midnight, so that no power loss can take the day
                other.append(rtc + clock.rtc_span(schedule.following(utc, DAY_MS, 1_000) - utc))
        elif self.kind == "meter" and not safe:
            send.append(work.moment_at)
        other.append(max(min(send), work.join_at))
        self.core.wake_at = min(other)
        return self.core.wake_at

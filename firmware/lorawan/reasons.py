"""Why a frame was not sent, or was sent in vain: the words of `Outcome.reason`; "" is success."""

ROOM = "room"  # the payload is longer than `Outcome.room`, which names the limit
PORT = "port"  # fPort outside 1..223, or a payload without one
ANSWERS = "answers"  # the frame that left carried owed MAC answers on port 0; send the payload again
DUTY = "duty"  # the duty cycle forbids it until `wait_ms` has passed
BACKOFF = "joining"  # the join back-off forbids it until `wait_ms` has passed
NOT_JOINED = "nojoin"  # no session: join first
ABP = "abp"  # the device is personalised: it has no key to join with
NONCES = "nonces"  # all 65,536 DevNonces are used: the device needs a new JoinEUI
COUNTER = "counter"  # FCntUp is used up: the session is over, join again
SILENCE = "silence"  # sent, but neither window brought the answer that was waited for
RADIO = "radio"  # the modem failed; nothing is known to have left the antenna

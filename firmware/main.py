"""Front door of a node: one pass a boot, then deep sleep. Nothing that goes wrong inside ends at a prompt."""

import machine

try:
    from node.boot import boot

    boot()
except Exception as fault:  # noqa: BLE001  whatever it is: a node in a pit has nobody to read a prompt
    try:
        from node.faults import survive

        survive(fault)
    except Exception:  # noqa: BLE001  no memory, no flash: what is left is to try again
        machine.deepsleep(60_000)

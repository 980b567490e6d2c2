"""The payload codec, version 1: the same files serve the board and the gateway (docs/payload.md has the bytes).

One module a kind: `meter`, `bin`, `air`, `health`, each with a record (a namedtuple), `PORT`, `encode(record, room)`
and `decode(data)`. `codes` holds what they share: flags, reason codes and `PayloadError`.
"""

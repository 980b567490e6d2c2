"""A device profile's JavaScript codec, run as ChirpStack 4.20 runs it (codec/js/mod.rs), by the same engine, quickjs-ng.

A fresh interpreter a call; the script is a strict module; 100 ms of processor time. Errors are told in ChirpStack's words, stack
included. So that a run is the same every time, `Math.random` is seeded, and the clock stands at `recvTime`. Not here: the `Buffer`
module that ChirpStack brings, and thrown values that are no Error in Rust's notation. `warnings` are ignored, as by ChirpStack.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import quickjs
from google.protobuf import struct_pb2

from .events import struct_value

LIMIT_S = 0.1  # ChirpStack's codec.js.max_execution_time
_MEMORY = 64 << 20  # bytes; devnet's own, so that a script cannot take the machine's

# Runs before the script: what the script may not have from the machine, and how a value becomes a protobuf Struct (codec/convert.rs).
_BEFORE = """
(() => {
  const now = %d, Clock = Date;
  let state = 1;
  Math.random = () => (state = state * 48271 %% 2147483647) / 2147483647;
  Clock.now = () => now;
  globalThis.Date = new Proxy(Clock, {
    construct: (target, given) => given.length ? new target(...given) : new target(now),
    apply: () => new Clock(now).toString(),
  });
  const {isFinite} = Number, {isArray, from} = Array, {keys, fromEntries} = Object, {stringify} = JSON;
  const plain = (v) => {
    if (typeof v === "boolean" || typeof v === "string") return v;
    if (typeof v === "number") return isFinite(v) ? v : null;
    if (typeof v !== "object" || v === null) return null;
    if (isArray(v)) return from(v, plain);
    return fromEntries(keys(v).map((key) => [key, plain(v[key])]));
  };
  const type = (v) => v === null ? "null" : typeof v === "boolean" ? "bool" :
    typeof v === "number" ? ((v | 0) === v ? "int" : "float") : typeof v;
  globalThis.chirpstack_result = () => {
    const out = globalThis.chirpstack_out, object = typeof out === "object" && out !== null;
    const bytes = object ? out.bytes : undefined;
    return stringify({type: object ? "object" : type(out), bytes_type: isArray(bytes) ? "array" : type(bytes), out: plain(out)});
  };
  globalThis.chirpstack_failed = (e) => {
    globalThis.chirpstack_error = stringify(
      e instanceof Error ? {message: `${e.message}`, stack: `${e.stack}`} : {value: plain(e)});
  };
  globalThis.chirpstack_out = globalThis.chirpstack_error = null;
  globalThis.chirpstack_input = %s;
  %s
})();
"""
# ChirpStack's lines and columns: an import of Buffer in line 2, the script from line 4, the call after it.
_MODULE = "\n\n\n        {script}\n\n        chirpstack_out={call}(chirpstack_input);\n        "


class CodecError(Exception):
    """The script failed; the text is ChirpStack's."""


def decode(script: str, data: bytes, f_port: int, recv_time_ns: int, variables: Mapping[str, str]) -> struct_pb2.Struct:
    """`decodeUplink({bytes, fPort, recvTime, variables}).data`."""
    given = {"bytes": list(data), "fPort": f_port, "variables": dict(variables)}
    now_ms = recv_time_ns // 1_000_000
    out = _run(script, "decodeUplink", given, now_ms, "chirpstack_input.recvTime = new Clock(now);")["out"]
    if not isinstance(out, dict) or not isinstance(out.get("data"), dict):
        raise CodecError("decodeUplink did not return 'data'")
    return _struct(out["data"])


def encode(
    script: str, given: struct_pb2.Struct, f_port: int, now_ns: int, variables: Mapping[str, str]
) -> tuple[int, bytes]:
    """(fPort, bytes) of `encodeDownlink({data, variables})`; `f_port` where the script gives none."""
    value = {"data": struct_value(struct_pb2.Value(struct_value=given)), "variables": dict(variables)}
    result = _run(script, "encodeDownlink", value, now_ns // 1_000_000, "")
    if result["bytes_type"] != "array":
        raise CodecError(f"Error converting from js '{result['bytes_type']}' into type 'array'")
    numbers, port = result["out"]["bytes"], result["out"].get("fPort")
    if not all(v is None or isinstance(v, int | float) for v in numbers):
        raise CodecError("Error converting from js: bytes must be numbers")
    return _octet(port) if isinstance(port, int | float) else f_port, bytes(_octet(v) for v in numbers)


def _struct(fields: dict[str, Any]) -> struct_pb2.Struct:
    return struct_pb2.Struct(fields={key: _value(v) for key, v in fields.items()})


def _value(value: Any) -> struct_pb2.Value:
    """What is no value (null, undefined, NaN, a function) is a Value of no kind, as ChirpStack has it."""
    if value is None:
        return struct_pb2.Value()
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, list):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_value(v) for v in value]))
    if isinstance(value, dict):
        return struct_pb2.Value(struct_value=_struct(value))
    return struct_pb2.Value(number_value=value)


def _octet(value: float | None) -> int:
    """As Rust's `as u8`: cut towards zero, held within a byte, 0 for what is no number."""
    return min(max(int(value or 0), 0), 255)


def _run(script: str, call: str, given: dict[str, Any], now_ms: int, more: str) -> dict[str, Any]:
    context = quickjs.Context()
    context.set_memory_limit(_MEMORY)
    context.eval(_BEFORE % (now_ms, json.dumps(given), more))
    context.set_time_limit(LIMIT_S)
    try:
        context.set("chirpstack_promise", context.module(_MODULE.format(script=script, call=call)))
        context.eval("chirpstack_promise.then(null, chirpstack_failed)")
        while context.execute_pending_job():
            pass
        failed = context.get("chirpstack_error")
        result = json.loads(context.eval("chirpstack_result()")) if failed is None else {}
    except quickjs.JSException as e:  # the script is no JavaScript, or its result cannot be read
        raise CodecError("JS error: Error:" + _in_main(str(e).partition(":")[2])) from e
    if failed is not None:
        raise CodecError("JS error: " + _told(json.loads(failed)))
    if result["type"] != "object":
        raise CodecError(f"JS error: Error converting from js '{result['type']}' into type 'object'")
    errors = result["out"].get("errors") if isinstance(result["out"], dict) else None
    if errors and isinstance(errors, list) and all(isinstance(e, str) for e in errors):
        raise CodecError(f"{call} returned errors: {', '.join(errors)}")
    return dict(result)


def _told(error: dict[str, Any]) -> str:
    if "value" in error:
        return f"Exception generated by quickjs: {json.dumps(error['value'])}\n"
    return f"Error: {error['message']}\n{_in_main(error['stack'])}"


def _in_main(stack: str) -> str:
    """The wrapper names every script <input>, ChirpStack names it main."""
    return stack.replace("(<input>:", "(main:").replace("at <input>:", "at main:")

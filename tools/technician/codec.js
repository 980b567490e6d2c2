// Vigie's payload version 1 for ChirpStack's JavaScript codec (TS013): docs/payload.md has the bytes. The gateway decodes from the
// bytes itself; this is for people who look at a device in ChirpStack, and for other integrations.
"use strict";

var REASONS = {
  1: "not measured", 2: "silence", 3: "bad checksum", 4: "short read", 5: "no echo", 6: "blind zone", 7: "out of range", 8: "unsteady",
};
var TIME_UNSURE = 1, TIME_UNKNOWN = 2, LOW_BATTERY = 4, NOW = 8, DAYS = 16, LEAK = 32, EPOCH_YOUNG = 64;
var DAY_S = 86400;

function Reader(bytes) {
  this.bytes = bytes;
  this.at = 0;
}

// Unsigned, little-endian. Products instead of shifts: JavaScript's shifts are signed 32-bit.
Reader.prototype.number = function (size, inside) {
  if (this.at + size > this.bytes.length) throw new Error("frame ends inside " + inside);
  var value = 0;
  for (var i = size - 1; i >= 0; i--) value = value * 256 + this.bytes[this.at + i];
  this.at += size;
  return value;
};

// Unsigned LEB128, at most 32 bits, in its shortest form.
Reader.prototype.varint = function () {
  var value = 0, weight = 1, byte;
  do {
    byte = this.number(1, "a number");
    value += (byte & 0x7f) * weight;
    weight *= 128;
    if (byte >= 0x80 && weight > 268435456) throw new Error("number longer than five bytes");
  } while (byte >= 0x80);
  if (value > 4294967295 || (weight > 128 && byte === 0)) throw new Error("number not in its shortest form");
  return value;
};

// A measured field: {value} or {reason}.
Reader.prototype.field = function (scale) {
  var raw = this.number(2, "a field");
  if (raw >= 0xfff0) return { reason: REASONS[raw & 15] || "code " + (raw & 15) };
  return { value: scale ? scale(raw) : raw };
};

function utc(seconds) {
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}

function head(bytes, least) {
  if (bytes.length === 0) throw new Error("empty payload");
  if (bytes[0] !== 0x10) {
    throw new Error("payload version byte 0x" + ("0" + bytes[0].toString(16)).slice(-2) + ", not 0x10");
  }
  if (bytes.length < least) throw new Error(bytes.length + " bytes, at least " + least + " expected");
  var reader = new Reader(bytes);
  reader.at = 1;
  var flags = reader.number(1, "the head"), mark = reader.number(4, "the head");
  if ((mark === 0) !== Boolean(flags & TIME_UNKNOWN)) throw new Error("time mark " + mark + " and flags " + flags + " disagree");
  var data = { time_unsure: Boolean(flags & TIME_UNSURE), low_battery: Boolean(flags & LOW_BATTERY) };
  data.time = flags & TIME_UNKNOWN ? null : utc(mark);
  return { reader: reader, flags: flags, mark: mark, data: data };
}

function figures(reader, day) {
  var first = reader.varint();
  day.unsure = Math.floor(first / 2) % 2 === 1;
  day.hours = 24;
  if (first % 2) {
    day.hours = reader.number(1, "a day's figures");
    if (day.hours > 23) throw new Error(day.hours + " hours in a partly seen day");
    if (day.hours === 0) {
      if (first > 3) throw new Error("figures of a day that was not seen");
      return;
    }
  }
  day.least = Math.floor(first / 4);
  day.greatest = day.least + reader.varint();
}

function meter(bytes) {
  var frame = head(bytes, 8), reader = frame.reader, data = frame.data;
  data.epoch = reader.number(2, "the epoch");
  data.leak = Boolean(frame.flags & LEAK);
  data.epoch_young = Boolean(frame.flags & EPOCH_YOUNG);
  data.count = frame.flags & NOW ? reader.number(4, "the count of the moment") : null;
  data.days = [];
  if (frame.flags & DAYS) {
    var number = reader.number(2, "the midnight count"), count = reader.number(4, "the midnight count");
    for (;;) {
      var day = { time: utc((number - data.days.length) * DAY_S), count: count };
      figures(reader, day);
      data.days.push(day);
      if (reader.at === bytes.length) break;
      count -= reader.varint();
      if (count < 0 || data.days.length > number) throw new Error("history goes back behind zero");
    }
  }
  if (reader.at !== bytes.length) throw new Error(bytes.length - reader.at + " bytes too many");
  return data;
}

// Entries newest first, `step` seconds apart from the time mark back.
function history(bytes, size, step, entry) {
  var frame = head(bytes, 6 + size), rows = [];
  if ((bytes.length - 6) % size) throw new Error(bytes.length + " bytes are not whole readings");
  while (frame.reader.at < bytes.length) {
    var row = entry(frame.reader);
    row.time = frame.mark ? utc(frame.mark - rows.length * step) : null;
    rows.push(row);
  }
  frame.data.readings = rows;
  return frame.data;
}

function bin(bytes) {
  return history(bytes, 4, 3600, function (reader) {
    return {
      distance_mm: reader.field(),
      spread_mm: reader.number(1, "an echo"),
      valid: reader.number(1, "an echo"),
    };
  });
}

function hundredths(raw) {
  return raw / 100;
}

function air(bytes) {
  return history(bytes, 10, 900, function (reader) {
    return {
      pm1: reader.field(),
      pm25: reader.field(),
      pm10: reader.field(),
      temperature: reader.field(function (raw) { return (raw - 10000) / 100; }),
      humidity: reader.field(hundredths),
    };
  });
}

function health(bytes) {
  var frame = head(bytes, 27), reader = frame.reader, data = frame.data;
  if (bytes.length !== 27) throw new Error(bytes.length + " bytes, 27 expected");
  data.battery_mv = reader.field();
  data.reset_cause = reader.number(1, "a number");
  data.version = [1, 2, 3].map(function () { return reader.number(1, "a number"); }).join(".");
  data.uptime_s = reader.number(4, "a number");
  data.queue = reader.number(1, "a number");
  data.dropped = reader.number(2, "a number");
  data.exceptions = reader.number(2, "a number");
  data.boots = reader.number(2, "a number");
  data.clock_error_s = reader.number(2, "a number");
  data.adr_refused = reader.number(2, "a number");
  return data;
}

var KINDS = { 10: ["meter", meter], 20: ["bin", bin], 30: ["air", air], 40: ["health", health] };

function decodeUplink(input) {
  var kind = KINDS[input.fPort];
  if (!kind) return { data: {}, errors: ["fPort " + input.fPort + ": 10, 20, 30 or 40 expected"] };
  try {
    var data = kind[1](input.bytes);
    data.kind = kind[0];
    return { data: data };
  } catch (error) {
    return { data: {}, errors: [error.message] };
  }
}

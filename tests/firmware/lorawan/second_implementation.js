// The second implementation: npm's lora-packet, asked by test_second_implementation.py. One JSON request a line, one JSON answer a line.
// Bytes are hex, as fields are written (most significant byte first) or, named `phy`, `fopts`, `payload` and `cfList`, as on air.
"use strict";

const readline = require("readline");
const lora = require("lora-packet");

const bytes = (hex) => Buffer.from(hex, "hex");
const bigEndian = (value, size) => bytes(value.toString(16).padStart(2 * size, "0"));
// lora-packet takes the upper half of a 32-bit counter as on air
const upperHalf = (fcnt) => bigEndian(fcnt >>> 16, 2).reverse();

const verbs = {
  joinRequest: (q) => {
    const fields = { AppEUI: bytes(q.joinEui), DevEUI: bytes(q.devEui), DevNonce: bigEndian(q.devNonce, 2) };
    return { phy: lora.fromFields(fields, undefined, undefined, bytes(q.appKey)).getPHYPayload().toString("hex") };
  },

  readJoinRequest: (q) => {
    const packet = lora.fromWire(bytes(q.phy));
    return {
      mic: lora.verifyMIC(packet, undefined, bytes(q.appKey)),
      mtype: packet.getMType(),
      joinEui: packet.AppEUI.toString("hex"),
      devEui: packet.DevEUI.toString("hex"),
      devNonce: packet.DevNonce.readUInt16BE(0),
    };
  },

  joinAccept: (q) => {
    const fields = {
      MType: "Join Accept",
      AppNonce: bigEndian(q.joinNonce, 3),
      NetID: bytes(q.netId),
      DevAddr: bytes(q.devAddr),
      DLSettings: q.dlSettings,
      RxDelay: q.rxDelay,
      CFList: bytes(q.cfList),
    };
    const packet = lora.fromFields(fields, undefined, undefined, bytes(q.appKey));
    const keys = lora.generateSessionKeys10(bytes(q.appKey), bytes(q.netId), bigEndian(q.joinNonce, 3), bigEndian(q.devNonce, 2));
    return {
      phy: packet.getPHYPayload().toString("hex"),
      nwkSKey: keys.NwkSKey.toString("hex"),
      appSKey: keys.AppSKey.toString("hex"),
    };
  },

  data: (q) => {
    const fields = {
      MType: q.mtype,
      DevAddr: bytes(q.devAddr),
      FCtrl: q.flags,
      FCnt: q.fcnt & 0xffff,
      FOpts: bytes(q.fopts),
      payload: bytes(q.payload),
    };
    if (q.port !== null) fields.FPort = q.port;
    const packet = lora.fromFields(fields, bytes(q.appSKey), bytes(q.nwkSKey), undefined, upperHalf(q.fcnt));
    // without an FPort fromFields leaves the MIC open
    lora.recalculateMIC(packet, bytes(q.nwkSKey), undefined, upperHalf(q.fcnt));
    return { phy: packet.getPHYPayload().toString("hex") };
  },

  readData: (q) => {
    const packet = lora.fromWire(bytes(q.phy));
    return {
      mic: lora.verifyMIC(packet, bytes(q.nwkSKey), undefined, upperHalf(q.fcnt)),
      mtype: packet.getMType(),
      devAddr: packet.DevAddr.toString("hex"),
      flags: { ADR: packet.getFCtrlADR(), ADRACKReq: packet.getFCtrlADRACKReq(), ACK: packet.getFCtrlACK() },
      fcnt: packet.getFCnt(),
      fopts: packet.FOpts.toString("hex"),
      port: packet.getFPort(),
      payload: lora.decrypt(packet, bytes(q.appSKey), bytes(q.nwkSKey), upperHalf(q.fcnt)).toString("hex"),
    };
  },
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const query = JSON.parse(line);
  process.stdout.write(JSON.stringify(verbs[query.verb](query)) + "\n");
});

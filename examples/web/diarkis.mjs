// A client for browsers and for Node, in JSON: docs/protocol.md, sections 2, 3, 8 and 10.

/** The answer to a command was an error. */
export class CommandError extends Error {
  constructor({ code, message }) {
    super(message);
    this.code = code;
  }
}

/**
 * Log in at the endpoint API, which may be of another origin, and connect.
 * onPush is called with (ver, cmd, payload) of each push.
 */
export async function connect(url, uid, { clientKey, onPush } = {}) {
  const answer = await fetch(`${url}/endpoint/type/WS/user/${encodeURIComponent(uid)}`, {
    headers: clientKey ? { ClientKey: clientKey } : {},
  });
  const endpoint = await answer.json();
  if (!answer.ok) throw new Error(endpoint.message);
  return connectTo(endpoint, { onPush });
}

/** Connect; with the endpoint of a connection that was lost, come back as the same user. */
export async function connectTo(endpoint, { onPush = () => {} } = {}) {
  const connection = new Connection(endpoint, onPush);
  const refused = connection.ended.then(({ reason }) => Promise.reject(new Error(reason)));
  try {
    await Promise.race([connection.ready, refused]);
  } catch (error) {
    connection.close();
    throw error;
  }
  return connection;
}

// Not of one connection: to who comes back the server sends the answers that were lost.
let lastId = 0;

class Connection {
  /** Milliseconds of the last keep-alive's way there and back. */
  roundTrip = undefined;

  #socket;
  #onPush;
  #waiting = new Map();
  #heard = Date.now();
  #timer;

  constructor(endpoint, onPush) {
    const { tls, serverHost, serverPort } = endpoint;
    const host = serverHost.includes(":") ? `[${serverHost}]` : serverHost;
    const url = `${tls ? "wss" : "ws"}://${host}:${serverPort}/`;
    this.#socket = new WebSocket(url, "diarkis.v1.json");
    this.#onPush = onPush;
    /** What connectTo() takes. */
    this.endpoint = endpoint;
    /** Resolves when the server has let us in. */
    this.ready = new Promise((resolve, reject) => {
      this.#socket.onmessage = ({ data }) => this.#read(JSON.parse(data), resolve, reject);
    });
    /** Resolves with {code, reason}: 4000 + the server's code, or less if it was lost. */
    this.ended = new Promise((resolve) => {
      this.#socket.onclose = ({ code, reason }) => {
        this.#end();
        resolve({ code, reason: reason || `connection lost (${code})` });
      };
    });
  }

  /** Send a command; resolves with the answer's payload. */
  request(ver, cmd, payload) {
    const id = (lastId = (lastId % 0xffff) + 1);
    return new Promise((resolve, reject) => {
      this.#write({ ver, cmd, payload: toJson(payload), id });
      this.#waiting.set(id, { resolve, reject });
    });
  }

  /** Send a command that needs no answer. */
  send(ver, cmd, payload) {
    this.#write({ ver, cmd, payload: toJson(payload) });
  }

  /** Leave for good. */
  close() {
    this.#socket.close(1000);
  }

  #read(message, isReady, failed) {
    this.#heard = Date.now();
    const { ver, cmd, status, payload, id } = message;
    if (message.hello) {
      prove(this.endpoint, message.hello.nonce).then((auth) => this.#write({ auth }), failed);
    } else if (message.ready) {
      this.#stayAlive(message.ready);
      isReady();
    } else if (message.push) {
      this.#onPush(ver, cmd, fromJson(payload));
    } else if (this.#waiting.has(id)) {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (status === 1) resolve(fromJson(payload));
      else reject(new CommandError(payload));
    } else if (ver === 0 && cmd === 1) {
      this.roundTrip = Date.now() - payload.time;
    }
  }

  #stayAlive({ connectionTTL, keepAlive }) {
    const beat = () => {
      if (Date.now() - this.#heard > connectionTTL * 1000) this.#socket.close();
      else this.send(0, 1, { time: Date.now(), rtt: Math.min(this.roundTrip ?? 65535, 65535) });
    };
    this.#timer = setInterval(beat, keepAlive);
    beat();
  }

  #write(message) {
    if (this.#socket.readyState !== WebSocket.OPEN) throw new Error("not connected");
    this.#socket.send(JSON.stringify(message));
  }

  #end() {
    clearInterval(this.#timer);
    for (const { reject } of this.#waiting.values()) reject(new Error("connection lost"));
    this.#waiting.clear();
  }
}

/** Show that we have the session's keys without saying them. */
async function prove(endpoint, serverNonce) {
  const { sid, encryptionKey, encryptionIV, encryptionMacKey } = endpoint;
  const secret = fromHex(encryptionKey + encryptionMacKey);
  const keys = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
  const hello = await crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: fromHex(encryptionIV), info: ascii("diarkis_tw/1 hello") },
    keys,
    { name: "HMAC", hash: "SHA-256", length: 256 },
    false,
    ["sign"],
  );
  const nonce = crypto.getRandomValues(new Uint8Array(16));
  const said = [...ascii("diarkis_tw/1 ws"), ...fromHex(serverNonce), ...nonce];
  const proof = await crypto.subtle.sign("HMAC", hello, new Uint8Array(said));
  return { sid, nonce: toHex(nonce), proof: toHex(new Uint8Array(proof)) };
}

// A payload is an object, or bytes: a Uint8Array here, {"base64": ...} on the way.

function toJson(payload) {
  if (!(payload instanceof Uint8Array)) return payload;
  return { base64: btoa(Array.from(payload, (byte) => String.fromCharCode(byte)).join("")) };
}

function fromJson(payload) {
  if (payload === undefined) return new Uint8Array();
  if (Object.keys(payload).join() !== "base64") return payload;
  return Uint8Array.from(atob(payload.base64), (character) => character.charCodeAt(0));
}

function ascii(text) {
  return new TextEncoder().encode(text);
}

function fromHex(text) {
  return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
}

function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

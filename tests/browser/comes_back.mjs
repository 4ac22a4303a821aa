// A user goes on over a second connection; how the first one ends.

import { connect, connectTo } from "../../examples/web/diarkis.mjs";

const first = await connect(process.argv[2], "alice");
const waiting = first.request(2, 10, { n: 1 });
const second = await connectTo(first.endpoint, {
  onPush: (ver, cmd, payload) => console.log("push", payload.base64 ?? payload),
});
console.log(await first.ended, await waiting);
await first.request(2, 10).catch((error) => console.log(error.message));

for (const size of [1, 2, 5000]) {
  const bytes = new Uint8Array(size).fill(255);
  const answer = await second.request(2, 10, bytes);
  console.log(size, answer.length, answer.every((byte) => byte === 255));
}
second.send(2, 11, { n: 2 });
await second.request(2, 10, { n: 3 });
console.log(second.roundTrip >= 0);
second.close();

// What the demo application can do, in a page (index.html) or in Node 22:
//
//     node examples/web/echo.mjs http://127.0.0.1:7000 alice

import { connect } from "./diarkis.mjs";

export async function echo(url, uid, print) {
  let pushed;
  const push = new Promise((resolve) => (pushed = resolve));
  const client = await connect(url, uid, {
    onPush: (ver, cmd, payload) => pushed(`push ${ver} ${cmd} ${JSON.stringify(payload)}`),
  });
  print("connected");

  const value = await client.request(2, 10, { x: 12.5, name: "Zoë" });
  print(`value ${JSON.stringify(value)}`);

  const bytes = await client.request(2, 10, new Uint8Array([0, 127, 255]));
  print(`bytes ${bytes}`);

  client.send(2, 11, { score: 7 });
  print(await push);

  try {
    await client.request(2, 99);
  } catch (error) {
    print(`error ${error.code}: ${error.message}`);
  }

  client.close();
  const { code } = await client.ended;
  print(`left, ${code}`);
}

if (globalThis.process?.argv) {
  const [url = "http://127.0.0.1:7000", uid = "alice"] = process.argv.slice(2);
  await echo(url, uid, console.log);
}

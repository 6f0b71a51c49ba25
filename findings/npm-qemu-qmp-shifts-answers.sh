#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Library: qemu-qmp 0.5.0 of the npm registry, a client of QMP (QEMU Machine Protocol).
#
# Expected: the answer to a command goes to the callback of that command, and an event comes with its data.
# Found: an answer whose value is falsy in JavaScript goes to nobody. `human-monitor-command` gives such a one, an empty text, for
#   every command that prints nothing ("stop", say). The next answer then goes to the callback that is still waiting, and so on
#   for the rest of the connection: what a script takes for the answer to one command is that to a later one. Listeners of
#   events get the event's name and never its data: the reason of a SHUTDOWN or the status of a MIGRATION cannot be read.
# What follows: a server for such clients answers with objects only; a script that uses `human-monitor-command` through this
#   library must not look at any answer afterwards, and asks `query-status` and `query-migrate` instead of reading events.
#
# Ends with status 0 while that is so, 1 when it has changed, 77 when the package cannot be had.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix "$work" qemu-qmp@0.5.0 split@1.0.1 >npm.log 2>&1 || { cat npm.log; exit 77; }

cat >probe.js <<'EOF'
// A server with the answers of a QMP server, and the library as its client.
const net = require('net');
const QMP = require('qemu-qmp');
const answers = { qmp_capabilities: {}, 'human-monitor-command': '', 'query-name': { name: 'guest' }, 'query-status': { status: 'paused' } };
const seen = { 'human-monitor-command': [], 'query-name': [], 'query-status': [], event: [] };

const server = net.createServer((socket) => {
  socket.write('{"QMP": {"version": {}, "capabilities": []}}\n');
  socket.on('data', (bytes) => {
    // One command after the other, so that nothing but the answers decides.
    const name = /"execute":"([^"]+)"/.exec(bytes)[1];
    socket.write(JSON.stringify({ return: answers[name] }) + '\n');
    if (name === 'query-status') socket.write('{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-panic"}}\n');
  });
});

server.listen('socket', () => {
  const client = new QMP();
  client.connect('socket', () => {
    const ask = (name, after) => {
      client.execute(name, (error, value) => seen[name].push(value));
      setTimeout(after, 200);
    };
    client.on('shutdown', (...given) => seen.event.push(given));
    setTimeout(() => ask('human-monitor-command', () => ask('query-name', () => ask('query-status', () => {
      console.log(JSON.stringify(seen));
      process.exit(0);
    }))), 200);
  });
});
EOF

found=$(node probe.js)
echo "qemu-qmp $(node -p 'require("qemu-qmp/package.json").version'), node $(node --version)"
echo "$found"
expected='{"human-monitor-command":[{"name":"guest"}],"query-name":[{"status":"paused"}],"query-status":[],"event":[["SHUTDOWN"]]}'
if [ "$found" = "$expected" ]; then
    echo "as found: answers go to the command before, and an event has no data"
else
    echo "changed: expected $expected"
    exit 1
fi

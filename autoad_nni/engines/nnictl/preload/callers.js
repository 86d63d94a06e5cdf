// NNI's server asks nobody who he is. Here it answers processes of the user that it runs as, and web pages that it
// served itself: those of other sites reach it through the browser of whoever visits them, with any request that needs
// no leave of the server, and with WebSockets.
const fs = require('fs');
const http = require('http');
const os = require('os');

const CALLS = new Set(['request', 'upgrade', 'connect', 'checkContinue', 'checkExpectation']);
const tables = new WeakSet(); // servers that the system's table of connections knows: not in every sandbox
const users = new WeakMap(); // socket: its user is ours

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, answer, ...rest) {
  if (event === 'listening' && inTable(this.address())) {
    tables.add(this);
  }
  const fault = CALLS.has(event) && faultOf(request, tables.has(this));
  if (!fault) {
    return emit.call(this, event, request, answer, ...rest);
  }
  refuse(answer, fault);
  return true;
};

function faultOf({ headers, socket, url }, hasTable) {
  const names = ['127.0.0.1', 'localhost'].map((name) => `${name}:${socket.localPort}`);
  const host = (headers.host || '').toLowerCase();
  const site = headers['sec-fetch-site'];
  if (hasTable && !ofOurUser(socket)) {
    return 'it answers the user whom it runs as';
  }
  if (!names.includes(socket.localPort === 80 ? `${host}:80` : host)) {
    return `it answers under the names ${names.join(' and ')}; a tunnel must begin at a port of the same number`;
  }
  if ('origin' in headers && headers.origin !== `http://${host}`) {
    return 'it answers its own pages only';
  }
  if (site !== undefined && site !== 'same-origin' && site !== 'none') {
    return 'it answers its own pages only; to open it, enter its address by hand instead of following a link';
  }
  // NNI hands these on to a site on the internet, whose pages would then be its own.
  return /^\/+netron/i.test(url) && 'pages of netron.app are not passed on';
}

function refuse(answer, fault) {
  const text = `NNI's server refuses this: ${fault}.\n`;
  const head = { Connection: 'close', 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(text) };
  if (answer instanceof http.ServerResponse) {
    answer.writeHead(403, head).end(text);
    return;
  }
  const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
  answer.on('error', () => {});
  answer.end(`HTTP/1.1 403 Forbidden\r\n${lines.join('')}\r\n${text}`, () => answer.destroy());
}

function ofOurUser(socket) {
  if (!users.has(socket)) {
    const there = entry(socket.remoteAddress, socket.remotePort);
    const peer = connections().find(
      ([, from, to]) => from.endsWith(there) && to.endsWith(entry(socket.localAddress, socket.localPort))
    );
    // A socket that its process has closed has no inode, and is listed as root's.
    users.set(socket, peer !== undefined && Number(peer[7]) === process.getuid() && peer[9] !== '0');
  }
  return users.get(socket);
}

function inTable(address) {
  return address !== null && typeof address === 'object' && connections().some(
    ([, from, , state]) => from === entry(address.address, address.port) && state === '0A'
  );
}

function connections() {
  return ['tcp', 'tcp6'].flatMap((name) => {
    try {
      return fs.readFileSync(`/proc/net/${name}`, 'latin1').split('\n').map((line) => line.trim().split(/\s+/)).filter(
        (words) => words.length > 9
      );
    } catch {
      return []; // no such table here
    }
  });
}

// An IPv4 address and a port as the table has them; in that of IPv6 more digits stand before them.
function entry(address, port) {
  const bytes = String(address).split('.').map(Number);
  const hex = Buffer.from(os.endianness() === 'LE' ? bytes.reverse() : bytes).toString('hex');
  return `${hex}:${Number(port).toString(16).padStart(4, '0')}`.toUpperCase();
}

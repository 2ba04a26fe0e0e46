// SPDX-License-Identifier: BSD-2-Clause
// What test_inproc_lang.py asks of Node.js: streams, and HTTP with keep-alive; as server, as server
// in several processes, and as client.
'use strict';
const cluster = require('cluster');
const http = require('http');
const net = require('net');

const STREAMS = 7030, HTTP = 7031;

function serve() {
	net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(STREAMS, '0.0.0.0');
	http.createServer((request, response) => {
		response.setHeader('x-pid', process.pid);
		request.pipe(response);
	}).listen(HTTP, '0.0.0.0');
}

function askStreams(host, data) {
	return new Promise((resolve, reject) => {
		const pieces = [];
		const socket = net.connect(STREAMS, host);

		socket.on('data', (piece) => pieces.push(piece));
		socket.on('end', () => resolve(Buffer.concat(pieces).equals(data)));
		socket.on('error', reject);
		socket.end(data);
	});
}

function askHttp(host, data, agent, pids) {
	return new Promise((resolve, reject) => {
		const request = http.request({ host, port: HTTP, method: 'POST', agent }, (response) => {
			const pieces = [];

			pids.add(response.headers['x-pid']);
			response.on('data', (piece) => pieces.push(piece));
			response.on('end', () => resolve(Buffer.concat(pieces).equals(data)));
			response.on('error', reject);
		});

		request.on('error', reject);
		request.end(data);
	});
}

async function ask(host, data) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
	const pids = new Set();
	const asked = [];
	let good = true;

	for (let i = 0; i < 16; i++)
		asked.push(askStreams(host, data.subarray(0, data.length >> (i % 4))));
	good = (await Promise.all(asked)).every(Boolean);
	console.log('streams', good);
	asked.length = 0;
	for (let i = 0; i < 40; i++)
		asked.push(askHttp(host, data.subarray(0, data.length >> (i % 8)), agent, pids));
	good = (await Promise.all(asked)).every(Boolean);
	console.log('http', good);
	agent.destroy();
	console.log('processes', pids.size);
}

const [, , what, host, text] = process.argv;

if (what === 'client') {
	ask(host, Buffer.from(text.repeat(20000)));
} else if (what === 'server' || cluster.isWorker) {
	serve();
} else {
	cluster.schedulingPolicy = what === 'pass' ? cluster.SCHED_RR : cluster.SCHED_NONE;
	cluster.fork();
	cluster.fork();
}

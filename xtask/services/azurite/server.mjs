// Azurite with one account and one container. Its only argument is JSON: `port`, `data` (a folder), and `ready`, the file that
// gets its description once it is ready.
//
// By itself, Azurite writes what it knows about blobs every 5 s, so that a kill loses what it acknowledged. Here it writes before
// each answer to a request that may change something.

import { createHmac } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const ACCOUNT = 'finaira';
const KEY = Buffer.from('the key of an account for tests, which is no secret').toString('base64');
const CONTAINER = 'finaira';
const API_VERSION = '2021-12-02';

const { port, data, ready } = JSON.parse(process.argv[2]);
process.env.AZURITE_ACCOUNTS = `${ACCOUNT}:${KEY}`;

const require = createRequire(import.meta.url);
const { default: BlobServer } = require('azurite/dist/src/blob/BlobServer.js');
const { default: BlobConfiguration } = require('azurite/dist/src/blob/BlobConfiguration.js');

const extents = [{ locationId: 'Default', locationPath: `${data}/extents`, maxConcurrency: 50 }];
const configuration = new BlobConfiguration(
  '127.0.0.1', port, 5, `${data}/blobs.json`, `${data}/extents.json`, extents,
  false, undefined, false, undefined, // no log of requests, no debug log
  false, true, // strict about headers, but any API version
);
const server = new BlobServer(configuration);

const save = (store) => new Promise((resolve, reject) => {
  store.db.saveDatabase((error) => (error ? reject(error) : resolve()));
});
server.httpServer.prependListener('request', (request, response) => {
  if (request.method === 'GET' || request.method === 'HEAD') return;
  const end = response.end.bind(response);
  response.end = (...rest) => {
    Promise.all([save(server.metadataStore), save(server.extentMetadataStore)]).then(
      () => end(...rest),
      (error) => {
        console.error(`cannot write what is known about blobs: ${error}`);
        process.exit(1);
      },
    );
    return response;
  };
});
await server.start();

const origin = `http://127.0.0.1:${port}`;
const url = `${origin}/${ACCOUNT}`;
await createContainer();
const description = { url, host: '127.0.0.1', port, account: ACCOUNT, key: KEY, container: CONTAINER };
writeFileSync(`${ready}.new`, JSON.stringify(description));
renameSync(`${ready}.new`, ready);

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => server.close().then(() => process.exit(0)));
}

async function createContainer() {
  const date = new Date().toUTCString();
  const headers = { 'x-ms-date': date, 'x-ms-version': API_VERSION };
  // The method, eleven headers that are not sent, those above, and the resource, in which the account comes twice: once as the
  // owner, and once as a part of the path.
  const text = `PUT${'\n'.repeat(12)}x-ms-date:${date}\nx-ms-version:${API_VERSION}\n`
    + `/${ACCOUNT}/${ACCOUNT}/${CONTAINER}\nrestype:container`;
  const signature = createHmac('sha256', Buffer.from(KEY, 'base64')).update(text).digest('base64');
  headers.authorization = `SharedKey ${ACCOUNT}:${signature}`;
  const response = await fetch(`${url}/${CONTAINER}?restype=container`, { method: 'PUT', headers });
  // 409: the container is there, because the data was kept.
  if (response.status !== 201 && response.status !== 409) {
    throw new Error(`the container was not made: ${response.status} ${await response.text()}`);
  }
}

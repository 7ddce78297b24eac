// An identity server for tests: oidc-provider with three clients, whose signing keys can be replaced while it runs.
//
//   node server.mjs '{"ready": "<file>", "audience": "<Finaira's name>", "token_seconds": 300}'
//
// It listens on two free ports of the loopback address. Once it does, it writes what tests need to know to the file `ready`.
// The second port takes three commands, each a POST without a body:
//
//   /publish    adds a new key for each algorithm to the key set; tokens are still signed with the old ones
//   /use        signs with the newest keys; the old ones stay in the key set
//   /withdraw   removes all keys but those that sign
//
// A careful issuer does the three in this order, and waits between them. One that lost a key calls all three at once.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const HOST = '127.0.0.1';
const SCOPES = 'payments:read payments:write ledger:read transfers:write';
const { ready, audience, token_seconds: tokenSeconds } = JSON.parse(process.argv[2]);

// Each client shows another way to authenticate, and gets tokens that are signed with another algorithm.
const assertionKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const clients = [
  { id: 'payments', secret: 'payments-secret', algorithm: 'RS256', tenant: 'acme' },
  { id: 'reports', key: assertionKey, algorithm: 'ES256', tenant: 'globex' },
  { id: 'terminal', secret: 'terminal-secret', algorithm: 'EdDSA', tenant: 'acme', dpop: true },
];
const clientOf = (id) => clients.find((client) => client.id === id);

function generateKeys() {
  const pairs = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: generateKeyPairSync('ed25519'),
  };
  return Object.entries(pairs).map(([alg, { privateKey, publicKey }]) => {
    const kid = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64url');
    return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid };
  });
}

// Newest keys first.
let keys = generateKeys();
let signingKeys = keys;
let handle;

// oidc-provider takes its keys when it is made, so a change of keys makes a new one behind the same port. Nothing is lost with
// the old one: tokens are signed, not stored, and the secret of the DPoP nonces stays.
const nonceSecret = randomBytes(32);
function restart(issuer) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: clients.map(({ id, secret, key, dpop }) => ({
      client_id: id,
      ...(secret ? { client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' } : {}),
      ...(key
        ? {
            token_endpoint_auth_method: 'private_key_jwt',
            token_endpoint_auth_signing_alg: 'ES256',
            jwks: { keys: [{ ...key.publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: id }] },
          }
        : {}),
      dpop_bound_access_tokens: dpop === true,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    scopes: SCOPES.split(' '),
    extraTokenClaims: (_context, token) => ({ tenant: clientOf(token.clientId).tenant }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true, nonceSecret },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, _resource, client) => {
          const { algorithm } = clientOf(client.clientId);
          const { kid } = signingKeys.find((key) => key.alg === algorithm);
          return {
            scope: SCOPES,
            audience,
            accessTokenFormat: 'jwt',
            accessTokenTTL: tokenSeconds,
            jwt: { sign: { alg: algorithm, kid } },
          };
        },
      },
    },
  });
  provider.on('server_error', (_context, error) => console.error(error));
  handle = provider.callback();
}

const server = createServer((request, response) => handle(request, response));
const admin = createServer((request, response) => {
  const commands = {
    '/publish': () => { keys = [...generateKeys(), ...keys]; },
    '/use': () => { signingKeys = keys.slice(0, signingKeys.length); },
    '/withdraw': () => { keys = signingKeys; },
  };
  const command = request.method === 'POST' && commands[request.url];
  if (!command) {
    response.writeHead(404).end(`expected POST to one of: ${Object.keys(commands).join(', ')}\n`);
    return;
  }
  command();
  restart(origin(server));
  response.writeHead(204).end();
});

const origin = (listener) => `http://${HOST}:${listener.address().port}`;
const listening = (listener) => new Promise((resolve, reject) => {
  listener.once('error', reject).listen(0, HOST, resolve);
});
await Promise.all([listening(server), listening(admin)]);
const issuer = origin(server);
restart(issuer);

const description = {
  issuer,
  jwks_uri: `${issuer}/jwks`,
  token_endpoint: `${issuer}/token`,
  audience,
  token_seconds: tokenSeconds,
  clients: clients.map(({ id, secret, key, algorithm, tenant, dpop }) => ({
    client_id: id,
    ...(secret ? { client_secret: secret } : {}),
    ...(key ? { private_key_pkcs8: key.privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64') } : {}),
    algorithm,
    tenant,
    scope: SCOPES,
    dpop: dpop === true,
  })),
  admin: { publish: `${origin(admin)}/publish`, use: `${origin(admin)}/use`, withdraw: `${origin(admin)}/withdraw` },
};
// Renamed, so that nobody reads half of it.
writeFileSync(`${ready}.part`, JSON.stringify(description));
renameSync(`${ready}.part`, ready);

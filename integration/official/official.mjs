// The official Walrus client, unmodified, against walfs localnet serve; then each
// reads what the other wrote. Ends with exit code 1 at the first thing that is wrong.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SuiGrpcClient } from '@mysten/sui/grpc';
import { Ed25519Keypair } from '@mysten/sui/keypairs/ed25519';
import { WalrusClient, WalrusFile } from '@mysten/walrus';
import { json, run, serve } from './walfs.mjs';

const NODES = 13, SHARDS = 100;
const PATIENCE = 290_000; // ms for a request to a node, all of which share one busy machine; fetch itself gives up after 300 s
const dir = mkdtempSync(join(tmpdir(), 'walfs-official-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));

// step runs and times one part. What was done is said at the end, or when something is wrong.
const done = [];
async function step(name, f) {
  const start = performance.now();
  try {
    const result = await f();
    done.push(`ok   ${name} (${Math.round(performance.now() - start)} ms)`);
    return result;
  } catch (error) {
    console.error([...done, `FAIL ${name}`].join('\n'));
    throw error;
  }
}

// affine is bytes that are the same in every run.
const affine = (size, seed) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8) * 7 + seed) & 255);

// clients are fresh ones: they keep what they have read of the ledger.
function clients(net, format) {
  const suiClient = new SuiGrpcClient({ network: 'testnet', baseUrl: net.rpc_url, ...(format && { format }) });
  const walrus = new WalrusClient({
    suiClient, storageNodeUrlScheme: 'http',
    packageConfig: { systemObjectId: net.system_object, stakingPoolId: net.staking_object },
    storageNodeClientOptions: { timeout: PATIENCE },
  });
  return { suiClient, walrus };
}

const signer = new Ed25519Keypair();
const me = signer.toSuiAddress();

// balances returns what the signer has, in FROST and MIST.
async function balances({ suiClient }, net) {
  const of = async (coinType) => BigInt((await suiClient.getBalance({ owner: me, coinType })).balance.balance);
  return { wal: await of(net.wal_type), sui: await of('0x2::sui::SUI') };
}

async function writes(net, c) {
  const { walrus, suiClient } = c;
  const state = await step('systemState', async () => {
    const state = await walrus.systemState();
    assert.equal(state.committee.n_shards, SHARDS);
    assert.equal(state.committee.members.length, NODES);
    const info = (await suiClient.ledgerService.getServiceInfo({})).response;
    assert.equal(info.chainId, net.chain_id);
    return state;
  });
  const rich = await step('balances', async () => {
    const have = await balances(c, net);
    assert.deepEqual(have, { wal: 500n * 10n ** 9n, sui: 20n * 10n ** 9n });
    return have;
  });
  const bytes = affine(100_000, 1);
  const deletable = await step('writeBlob, deletable', () => walrus.writeBlob({ blob: bytes, deletable: true, epochs: 3, signer }));
  await step('what it cost', async () => {
    const { totalCost } = await walrus.storageCost(bytes.length, 3);
    const have = await balances(c, net);
    assert.equal(rich.wal - have.wal, BigInt(totalCost));
    assert.ok(have.sui < rich.sui, 'gas is paid');
  });
  await step('readBlob', async () => assert.deepEqual(await walrus.readBlob({ blobId: deletable.blobId }), bytes));
  await step('blob object', async () => {
    const { object } = await suiClient.getObject({ objectId: deletable.blobObject.id });
    assert.equal(object.type, await walrus.getBlobType());
    assert.equal(object.owner.AddressOwner, me);
    assert.equal(deletable.blobObject.certified_epoch, state.committee.epoch);
  });
  await step('getVerifiedBlobStatus, deletable', async () => {
    const status = await walrus.getVerifiedBlobStatus({ blobId: deletable.blobId });
    assert.equal(status.type, 'deletable');
    assert.equal(status.deletableCounts.count_deletable_certified, 1);
  });
  const permanent = await step('writeBlob, permanent, with attributes', () => walrus.writeBlob({
    blob: affine(31_007, 2), deletable: false, epochs: 2, signer, attributes: { 'content-type': 'text/plain', name: 'größe' },
  }));
  await step('attributes', async () => {
    const of = () => walrus.readBlobAttributes({ blobObjectId: permanent.blobObject.id });
    assert.deepEqual({ ...await of() }, { 'content-type': 'text/plain', name: 'größe' });
    await walrus.executeWriteBlobAttributesTransaction({ blobObjectId: permanent.blobObject.id, signer, attributes: { name: null, more: '1' } });
    assert.deepEqual({ ...await of() }, { 'content-type': 'text/plain', more: '1' });
  });
  await step('getVerifiedBlobStatus, permanent', async () => {
    const status = await walrus.getVerifiedBlobStatus({ blobId: permanent.blobId });
    assert.equal(status.type, 'permanent');
    assert.equal(status.isCertified, true);
    const event = await suiClient.getTransaction({ digest: status.statusEvent.txDigest, include: { events: true } });
    assert.match(event.Transaction.events[Number(status.statusEvent.eventSeq)].eventType, /::events::BlobCertified$/);
  });
  await step('extend', async () => {
    await walrus.executeExtendBlobTransaction({ blobObjectId: permanent.blobObject.id, epochs: 4, signer });
    const { end_epoch: end } = (await clients(net).walrus.getBlobObject(permanent.blobObject.id)).storage;
    assert.equal(end, permanent.blobObject.storage.end_epoch + 4);
  });
  await step('a permanent blob is not deleted', () => assert.rejects(
    walrus.executeDeleteBlobTransaction({ blobObjectId: permanent.blobObject.id, signer }), /blob|abort/i));
  await step('delete', async () => {
    await walrus.executeDeleteBlobTransaction({ blobObjectId: deletable.blobObject.id, signer });
    await assert.rejects(suiClient.getObject({ objectId: deletable.blobObject.id }), /not found|notExists/i);
    await assert.rejects(clients(net).walrus.readBlob({ blobId: deletable.blobId }));
  });
  const files = await step('writeFiles', () => walrus.writeFiles({
    files: [
      WalrusFile.from({ contents: affine(5_000, 3), identifier: 'a.bin', tags: { kind: 'first' } }),
      WalrusFile.from({ contents: new TextEncoder().encode('hello, Walrus'), identifier: 'b.txt' }),
    ], deletable: true, epochs: 2, signer,
  }));
  await step('getFiles', async () => {
    const [a, b] = await walrus.getFiles({ ids: files.map((f) => f.id) });
    assert.deepEqual(await a.bytes(), affine(5_000, 3));
    assert.equal(await a.getIdentifier(), 'a.bin');
    assert.deepEqual(await a.getTags(), { kind: 'first' });
    assert.equal(await b.text(), 'hello, Walrus');
  });
  await step('coins and balances as lists', async () => {
    const { objects } = await suiClient.listCoins({ owner: me, coinType: net.wal_type });
    const total = objects.reduce((sum, coin) => sum + BigInt(coin.balance), 0n);
    assert.equal(total, (await balances(c, net)).wal);
    const { balances: all } = await suiClient.listBalances({ owner: me });
    assert.equal(all.length, 2);
  });
  return permanent;
}

async function main() {
  const state = ['--dir', join(dir, 'net'), '--nodes', String(NODES), '--shards', String(SHARDS), '--epoch', 'manual'];
  let net = await step('walfs localnet serve', () => serve(state));
  run(['localnet', 'faucet', me, '--wal', '500', '--sui', '20', '--rpc', net.rpc_url]);
  const first = await writes(net, clients(net));
  await step('advance-epoch', async () => {
    run(['localnet', 'advance-epoch', '--rpc', net.rpc_url]);
    const { walrus } = clients(net, 'binary');
    assert.equal((await walrus.systemState()).committee.epoch, (first.blobObject.registered_epoch) + 1);
    assert.deepEqual(await walrus.readBlob({ blobId: first.blobId }), affine(31_007, 2));
    const again = await walrus.writeBlob({ blob: affine(2_000_000, 4), deletable: true, epochs: 1, signer });
    assert.deepEqual(await walrus.readBlob({ blobId: again.blobId }), affine(2_000_000, 4));
  });
  await step('walfs localnet serve ends', () => net.stop());

  const env = { WALFS_HOME: join(dir, 'home'), WALFS_NETWORK: join(dir, 'net') };
  await step('walfs reads what the official client wrote', async () => {
    run(['init', '--plain'], env);
    assert.deepEqual(new Uint8Array(run(['blob', 'get', first.blobId], env)), affine(31_007, 2));
  });
  const written = await step('walfs writes', async () => {
    writeFileSync(join(dir, 'file'), affine(300_000, 5));
    run(['put', join(dir, 'file'), '/file'], env);
    run(['--quiet', 'sync'], env);
    return json(['stat', '/file'], env);
  });

  net = await step('walfs localnet serve, again', () => serve(state));
  await step('the official client reads what walfs wrote', async () => {
    const { walrus } = clients(net);
    const got = new Uint8Array(300_000);
    for (const part of written.extents) {
      const blob = await walrus.readBlob({ blobId: part.blob_id });
      got.set(blob.subarray(part.blob_offset, part.blob_offset + part.length), part.offset);
    }
    assert.deepEqual(got, new Uint8Array(readFileSync(join(dir, 'file'))));
  });
  await step('and what it wrote before', async () => {
    const { walrus } = clients(net);
    assert.deepEqual(await walrus.readBlob({ blobId: first.blobId }), affine(31_007, 2));
  });
  await net.stop();
}

const started = performance.now();
await main();
if (process.argv.includes('-v')) console.log(done.join('\n'));
console.log(`official     ok (@mysten/walrus: ${done.length} steps, ${Math.round((performance.now() - started) / 1000)} s)`);

// Starts, asks and stops the walfs under test.
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const walfs = process.env.WALFS ?? 'walfs';

// said is what the processes wrote to stderr, to be shown when something is wrong.
const said = [];
process.on('exit', (code) => { if (code !== 0) process.stderr.write(said.join('')); });

// run runs a command to its end and returns what it wrote to stdout, as bytes.
export function run(args, env = {}) {
  return execFileSync(walfs, args, { env: { ...process.env, ...env }, maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'inherit'] });
}

// json is run for a command that prints one line of JSON.
export function json(args, env) {
  return JSON.parse(run([...args, '--json'], env).toString().trim().split('\n').at(-1));
}

// serve starts a localnet and returns what it says of itself, with stop().
export async function serve(args) {
  const child = spawn(walfs, ['localnet', 'serve', '--listen', '127.0.0.1:0', '--json', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stderr.on('data', (text) => said.push(text));
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const kill = () => child.kill('SIGKILL');
  process.prependOnceListener('exit', kill); // before its folder is removed
  const first = await Promise.race([once(lines, 'line'), ended.then(([code]) => { throw new Error(`walfs localnet serve ended with ${code}`); })]);
  const net = JSON.parse(first[0]);
  net.stop = async () => {
    child.kill('SIGTERM');
    const [code, signal] = await ended;
    process.removeListener('exit', kill);
    if (code !== 0) throw new Error(`walfs localnet serve ended with ${code ?? signal}`);
  };
  return net;
}

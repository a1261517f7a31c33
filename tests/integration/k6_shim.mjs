// k6's modules as far as deploy/loadtest/vote.js uses them, over curl: runs the script where k6 is not.
import { createHash, createHmac, randomBytes as random } from 'node:crypto';
import { execFileSync } from 'node:child_process';

function request(method, url, body, params) {
    const headers = Object.entries(params.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    const text = execFileSync('curl', ['-s', '-i', '-X', method, ...headers, '--data-binary', body, url], { encoding: 'utf-8' });
    const [head] = text.split('\r\n\r\n');
    const [status, ...lines] = head.split('\r\n');
    const canonical = (name) => name.split('-').map((part) => part[0].toUpperCase() + part.slice(1).toLowerCase()).join('-');
    return {
        status: Number(status.split(' ')[1]),
        headers: Object.fromEntries(lines.map((line) => line.split(': ')).map(([name, value]) => [canonical(name), value])),
    };
}

export const http = {
    post: (url, body, params) => request('POST', url, body, params),
    batch: (requests) => requests.map((one) => request(one.method, one.url, one.body, one.params)),
};
export const crypto = {
    sha256: (text, form) => createHash('sha256').update(text).digest(form),
    hmac: (kind, key, text, form) => createHmac(kind, key).update(text).digest(form),
    randomBytes: (count) => new Uint8Array(random(count)).buffer,
};
export const metrics = {};
export class Counter {
    constructor(name) { this.name = name; }
    add(value) { (metrics[this.name] ??= { values: { count: 0 } }).values.count += value; }
}
export class Trend {
    constructor(name) { this.name = name; this.all = []; }
    add(value) {
        this.all = [...this.all, value].sort((a, b) => a - b);
        metrics[this.name] = { values: { 'p(95)': this.all[Math.ceil(0.95 * this.all.length) - 1] } };
    }
}
export const exec = { scenario: { iterationInTest: 0 } };
export const sleep = () => {};

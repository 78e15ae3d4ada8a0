// SPDX-License-Identifier: Apache-2.0
// docs/sealing.md once more, in WebCrypto alone.

const { subtle } = globalThis.crypto
const utf8 = (text) => new TextEncoder().encode(text)
const hex = (octets) => Array.from(octets, (each) => each.toString(16).padStart(2, '0')).join('')
const unhex = (text) => new Uint8Array((text.match(/../g) ?? []).map((pair) => parseInt(pair, 16)))
const base64 = (octets) => btoa(String.fromCharCode(...octets))
const unbase64 = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0))
const url64 = (octets) => base64(octets)
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

// Parts and numbers

function concat (...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function number (value, octets = 8) {
  const all = new Uint8Array(octets)
  for (let at = octets - 1, rest = BigInt(value); at >= 0; at--, rest >>= 8n) all[at] = Number(rest & 255n)
  return all
}

const pack = (...parts) => concat(...parts.flatMap((part) => [number(part.length, 4), part]))
const packTexts = (texts) => pack(...texts.map(utf8))
const purpose = (what) => utf8(`WSRC seal 1 ${what}`)
const sha256 = async (octets) => new Uint8Array(await subtle.digest('SHA-256', octets))
const first = async (certificates) => certificates.length ? sha256(unhex(certificates[0])) : utf8('')

// Terms

async function transcript ({ ask, asked, card, said, certificates }) {
  return pack(
    purpose('terms'),
    utf8(asked.session), utf8(asked.share), packTexts(asked.ways), utf8(asked.user), utf8(asked.principal),
    utf8(card.host), utf8(card.reader), utf8(card.name), unhex(card.atr), utf8(card.iccid),
    packTexts(card.eids), utf8(card.label),
    unhex(ask.nonce), packTexts(ask.suites), utf8(ask.mode),
    unhex(said.nonce), packTexts(said.suites), utf8(said.mode), utf8(said.suite), unhex(said.key),
    utf8(said.wants_user ? 'user' : ''),
    await first(certificates)
  )
}

async function isSigned (spki, signature, octets) {
  const key = await subtle.importKey('spki', unhex(spki), { name: 'ECDSA', namedCurve: 'P-256' }, false, ['verify'])
  return subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, unhex(signature), octets)
}

// HMAC, HKDF (RFC 5869), HPKE (RFC 9180, mode base, HKDF-SHA256, AES-256-GCM)

async function hmac (key, octets) {
  const made = await subtle.importKey('raw', key.length ? key : new Uint8Array(32), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  return new Uint8Array(await subtle.sign('HMAC', made, octets))
}

async function expand (prk, info, octets) {
  let block = new Uint8Array()
  let all = new Uint8Array()
  for (let at = 1; all.length < octets; at++) {
    block = await hmac(prk, concat(block, info, number(at, 1)))
    all = concat(all, block)
  }
  return all.slice(0, octets)
}

const KEMS = { p256: 0x0010, x25519: 0x0020, 'mlkem768-x25519': 0x647a }
const ENC_OCTETS = { p256: 65, x25519: 32, 'mlkem768-x25519': 1120 }
const V1 = utf8('HPKE-v1')
const EMPTY = new Uint8Array()

const labeledExtract = (id, salt, label, ikm) => hmac(salt, concat(V1, id, utf8(label), ikm))
const labeledExpand = (id, prk, label, info, octets) =>
  expand(prk, concat(number(octets, 2), V1, id, utf8(label), info), octets)

async function importPrivate (suite, priv, pub) {
  const jwk = suite === 'p256'
    ? { kty: 'EC', crv: 'P-256', d: url64(priv), x: url64(pub.slice(1, 33)), y: url64(pub.slice(33)) }
    : { kty: 'OKP', crv: 'X25519', d: url64(priv), x: url64(pub) }
  return subtle.importKey('jwk', jwk, curve(suite), false, ['deriveBits'])
}

const curve = (suite) => suite === 'p256' ? { name: 'ECDH', namedCurve: 'P-256' } : { name: 'X25519' }
const importPublic = (suite, pub) => subtle.importKey('raw', pub, curve(suite), false, [])
const agree = async (suite, own, other) =>
  new Uint8Array(await subtle.deriveBits({ name: curve(suite).name, public: other }, own, 256))

async function shared (suite, dh, enc, pub) {
  const id = concat(utf8('KEM'), number(KEMS[suite], 2))
  const prk = await labeledExtract(id, EMPTY, 'eae_prk', dh)
  return labeledExpand(id, prk, 'shared_secret', concat(enc, pub), 32)
}

async function decapsulate (suite, enc, priv, pub) {
  if (suite === 'mlkem768-x25519') return decapsulateBoth(enc, priv, pub)
  const own = await importPrivate(suite, priv, pub)
  return shared(suite, await agree(suite, own, await importPublic(suite, enc)), enc, pub)
}

async function decapsulateBoth (enc, priv, pub) {
  const lattice = await subtle.importKey('raw-seed', priv.slice(0, 64), { name: 'ML-KEM-768' }, false, ['decapsulateBits'])
  const one = new Uint8Array(await subtle.decapsulateBits({ name: 'ML-KEM-768' }, lattice, enc.slice(0, 1088)))
  const own = await importPrivate('x25519', priv.slice(64), pub.slice(1184))
  const other = await agree('x25519', own, await importPublic('x25519', enc.slice(1088)))
  const parts = concat(one, other, enc.slice(1088), pub.slice(1184), utf8('\\.//^\\'))
  return new Uint8Array(await subtle.digest('SHA3-256', parts))
}

async function hpkeKeys (suite, secret, info) {
  const id = concat(utf8('HPKE'), number(KEMS[suite], 2), number(1, 2), number(2, 2))
  const context = concat(number(0, 1),
    await labeledExtract(id, EMPTY, 'psk_id_hash', EMPTY), await labeledExtract(id, EMPTY, 'info_hash', info))
  const prk = await labeledExtract(id, secret, 'secret', EMPTY)
  return [await labeledExpand(id, prk, 'key', context, 32), await labeledExpand(id, prk, 'base_nonce', context, 12)]
}

async function gcm (what, key, nonce, data, octets) {
  const made = await subtle.importKey('raw', key, 'AES-GCM', false, [what])
  return new Uint8Array(await subtle[what]({ name: 'AES-GCM', iv: nonce, additionalData: data }, made, octets))
}

async function openSecret (suite, sealed, priv, pub, info) {
  const enc = sealed.slice(0, ENC_OCTETS[suite])
  const [key, nonce] = await hpkeKeys(suite, await decapsulate(suite, enc, priv, pub), info)
  return gcm('decrypt', key, nonce, EMPTY, sealed.slice(enc.length))
}

async function sealSecret (suite, pub, plain, info) {
  const pair = await subtle.generateKey(curve(suite), false, ['deriveBits'])
  const enc = new Uint8Array(await subtle.exportKey('raw', pair.publicKey))
  const dh = await agree(suite, pair.privateKey, await importPublic(suite, pub))
  const [key, nonce] = await hpkeKeys(suite, await shared(suite, dh, enc, pub), info)
  return concat(enc, await gcm('encrypt', key, nonce, EMPTY, plain))
}

// Keys, boxes, proofs, words

async function derive (master, salt) {
  const prk = await hmac(salt, master)
  const keys = {}
  for (const name of ['requests', 'answers', 'proofs', 'words']) keys[name] = hex(await expand(prk, purpose(name), 32))
  return keys
}

const nonceOf = (direction, seq) => concat(number(direction === 'requests' ? 1 : 2, 4), number(seq))
const dataOf = ({ session, direction, kind, seq }) =>
  pack(purpose('box'), utf8(session), utf8(direction), utf8(kind), number(seq))

function padded (ran, text, step) {
  const bare = concat(number(ran), utf8(text), new Uint8Array([0x80]))
  return concat(bare, new Uint8Array((step - bare.length % step) % step))
}

const sealBox = (b) =>
  gcm('encrypt', unhex(b.key), nonceOf(b.direction, b.seq), dataOf(b), padded(b.ran, b.text, b.pad_octets))

async function openBox (b) {
  if (!(b.seq >= 1 && b.seq <= Number.MAX_SAFE_INTEGER)) throw new Error('no number')
  const plain = await gcm('decrypt', unhex(b.key), nonceOf(b.direction, b.seq), dataOf(b), unhex(b.box))
  let end = plain.length
  while (end > 0 && plain[end - 1] === 0) end--
  if (end < 9 || plain[end - 1] !== 0x80) throw new Error('no end')
  const ran = plain.slice(0, 8).reduce((sum, octet) => sum * 256n + BigInt(octet), 0n)
  return [Number(ran), new TextDecoder().decode(plain.slice(8, end - 1))]
}

const claimed = (p) => pack(purpose('resume'),
  utf8(p.session), utf8(p.host), utf8(p.reader), number(p.seq), number(p.counter), unhex(p.nonce))
const word = (w) => pack(purpose('word'), utf8(w.session), utf8(w.says), ...w.numbers.map((each) => number(each)))

export {
  base64, claimed, dataOf, derive, EMPTY, first, hex, hmac, isSigned, nonceOf, openBox,
  openSecret, pack, padded, purpose, sealBox, sealSecret, sha256, transcript, unbase64, unhex,
  utf8, word
}

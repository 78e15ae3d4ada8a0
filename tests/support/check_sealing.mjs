// SPDX-License-Identifier: Apache-2.0
// Checks the vectors of sealing.json, whose path it is given, then is a user and answers with what it
// made; prints one JSON object.
import { readFileSync } from 'node:fs'
import {
  base64, claimed, dataOf, derive, EMPTY, first, hex, hmac, isSigned, nonceOf, openBox,
  openSecret, pack, padded, purpose, sealBox, sealSecret, sha256, transcript, unbase64, unhex,
  utf8, word
} from './sealing.mjs'

// What is checked

let checks = 0
function same (what, made, expected) {
  checks++
  if (JSON.stringify(made) !== JSON.stringify(expected)) throw new Error(`${what}: ${JSON.stringify(made)}`)
}

async function checkSession (s) {
  const terms = await transcript(s)
  same(`${s.name}: transcript`, hex(terms), s.transcript)
  const signed = pack(purpose('offer'), terms)
  same(`${s.name}: signed`, hex(signed), s.signed_by_host)
  same(`${s.name}: signature`, await isSigned(s.signer, s.signature, signed), true)
  const own = await first(s.user_certificates)
  const info = pack(purpose('secret'), terms, own)
  same(`${s.name}: info`, hex(info), s.info)
  const sealed = unhex(s.sealed)
  const master = await openSecret(s.said.suite, sealed, unhex(s.private_key), unhex(s.said.key), info)
  same(`${s.name}: secret`, hex(master), s.master)
  if (s.user_signer !== null) {
    const by = pack(purpose('user'), terms, sealed)
    same(`${s.name}: user`, await isSigned(s.user_signer, s.user_signature, by), true)
  }
  const salt = await sha256(pack(purpose('keys'), terms, own, sealed))
  same(`${s.name}: salt`, hex(salt), s.salt)
  same(`${s.name}: keys`, await derive(master, salt), s.keys)
}

async function checkAll (v) {
  for (const p of v.packing) same(p.name, hex(pack(...p.parts.map(unhex))), p.octets)
  for (const s of v.sessions) await checkSession(s)
  for (const o of v.offers_that_are_refused) same(o.name, await isRefused(v, o), true)
  for (const b of v.boxes) {
    same(`${b.name}: nonce`, hex(nonceOf(b.direction, b.seq)), b.nonce)
    same(`${b.name}: data`, hex(dataOf(b)), b.associated_data)
    same(`${b.name}: plain`, hex(padded(b.ran, b.text, b.pad_octets)), b.plain)
    same(`${b.name}: box`, hex(await sealBox(b)), b.box)
    same(`${b.name}: opened`, await openBox(b), [b.ran, b.text])
  }
  for (const b of v.boxes_that_do_not_open) same(b.name, await openBox(b).catch(() => 'refused'), 'refused')
  for (const p of v.proofs) {
    same(p.name, hex(claimed(p)), p.octets)
    same(p.name, hex(await hmac(unhex(p.key), claimed(p))), p.mac)
  }
  const named = (each) => v.sessions.find((s) => s.name === each.session)
  for (const m of v.messages_of_the_start) checkStart(m, named(m))
  for (const m of v.messages) await checkMessage(m, named(m))
  for (const m of v.messages_on_resuming) await checkResuming(m, named(m))
  for (const w of v.words) same(w.name, hex(await hmac(unhex(w.key), word(w))), w.mac)
}

// Messages: all but the box and what is around it comes of what is inside.

const sortedKeys = (value) => Array.isArray(value)
  ? value.map(sortedKeys)
  : value !== null && typeof value === 'object'
    ? Object.fromEntries(Object.keys(value).sort().map((name) => [name, sortedKeys(value[name])]))
    : value

function outside ({ msg_type: of, id, seq, session, ...rest }, direction) {
  const around = { msg_type: direction === 'requests' ? 'sealed' : 'sealed_resp', id, seq, session, of }
  if (of === 'reconnect') around.share = rest.share ?? 'exclusive'
  if (of === 'reconnect' && (rest.initialization ?? 'leave') !== 'leave') around.resets = true
  if (of === 'error') Object.assign(around, { code: rest.code, outcome: rest.outcome })
  return around
}

async function checkMessage (v, s) {
  const direction = v.from === 'user' ? 'requests' : 'answers'
  const { id, seq, session, ...inside } = v.inside
  const text = JSON.parse(v.text)
  if (text.session === '') delete text.session
  same(`${v.name}: text`, sortedKeys(text), sortedKeys(inside))
  const box = {
    key: s.keys[direction], direction, session, kind: v.inside.msg_type, seq, ran: v.ran,
    text: v.text, pad_octets: v.pad_octets, box: hex(unbase64(v.message.box))
  }
  const message = { ...outside(v.inside, direction), box: base64(await sealBox(box)) }
  if (!v.heard) message.secret = { sealed: base64(unhex(s.sealed)) }
  same(`${v.name}: message`, sortedKeys(message), sortedKeys(v.message))
  same(`${v.name}: opened`, await openBox(box), [v.ran, v.text])
}

function checkStart (v, s) {
  const seal = { ...v.message.seal }
  for (const name of ['nonce', 'key', 'signature']) if (name in seal) seal[name] = hex(unbase64(seal[name]))
  if (v.message.msg_type === 'select_card' || v.message.msg_type === 'attach') {
    same(`${v.name}: ask`, sortedKeys(seal), sortedKeys(s.ask))
    return
  }
  seal.certificates = seal.certificates.map((each) => hex(unbase64(each)))
  const expected = {
    ...s.card, user: s.asked.user, principal: s.asked.principal, ...s.said,
    certificates: s.certificates, signature: s.signature
  }
  for (const [name, value] of Object.entries(expected)) same(`${v.name}: ${name}`, seal[name] ?? (name === 'wants_user' ? false : name === 'eids' ? [] : ''), value)
}

async function checkResuming (v, s) {
  const { keys, asked: { session } } = s
  const m = v.message
  const mac = async (octets) => base64(await hmac(unhex(keys.words), octets))
  const said = (says, ...numbers) => mac(word({ session, says, numbers }))
  if (m.msg_type === 'resume') {
    const claim = { session, host: m.host ?? '', reader: m.reader ?? '', seq: m.seq, counter: m.proof.counter, nonce: v.nonce }
    same(v.name, base64(await hmac(unhex(keys.proofs), claimed(claim))), m.proof.mac)
    same(v.name, m.seal.sealed, base64(unhex(s.sealed)))
  }
  if (m.msg_type === 'resumed') same(v.name, await said('resumed', v.counter, v.asked, m.seq), m.word)
  if (m.msg_type === 'error') same(v.name, await said('refused', v.number), m.word)
  if (m.msg_type === 'session_ended') same(v.name, await said('ended', m.seq), m.word)
}

// A certificate is not taken apart here: the key of another is not that of `signer`.
async function isRefused (v, o) {
  const s = v.sessions.find((each) => each.name === o.session)
  const changed = { ...s }
  for (const [name, value] of Object.entries(o.changed)) {
    changed[name] = typeof value === 'object' && !Array.isArray(value) ? { ...s[name], ...value } : value
  }
  if (unhex(changed.said.nonce).length !== 32) return true
  return !await isSigned(s.signer, changed.signature, pack(purpose('offer'), await transcript(changed)))
}

// A user: seals a secret to the card host of each session, and its first command.
async function beUser (s) {
  const terms = await transcript(s)
  const master = crypto.getRandomValues(new Uint8Array(32))
  const sealed = await sealSecret(s.said.suite, unhex(s.said.key), master, pack(purpose('secret'), terms, EMPTY))
  const keys = await derive(master, await sha256(pack(purpose('keys'), terms, EMPTY, sealed)))
  const text = '{"msg_type":"c_apdu","command":"00a4000c023f00"}'
  const box = { key: keys.requests, direction: 'requests', session: s.asked.session, kind: 'c_apdu', seq: 1, ran: 0, pad_octets: 16, text }
  return { name: s.name, sealed: hex(sealed), box: hex(await sealBox(box)), text, answers: keys.answers }
}

const vectors = JSON.parse(readFileSync(process.argv[2], 'utf8'))
await checkAll(vectors)
const users = []
for (const s of vectors.sessions) if (!s.said.wants_user && s.said.suite !== 'mlkem768-x25519') users.push(await beUser(s))
console.log(JSON.stringify({ checks, users }))

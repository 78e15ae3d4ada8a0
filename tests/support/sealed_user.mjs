// SPDX-License-Identifier: Apache-2.0
// A user of docs/protocol.md in JavaScript: selects a card, seals the session with the suite p256,
// sends commands, loses its connection, goes on with a proof, and gives the card back.
//
//     node sealed_user.mjs wss://HOST:PORT/user CA.pem ICCID HOST_NAME COMMAND COMMAND…
//
// It prints a JSON array: what the card answered to each command. NODE_EXTRA_CA_CERTS has the CA of
// the server. The connection is lost before the last command.
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  base64, claimed, derive, first, hex, hmac, isSigned, openBox, pack, purpose, sealBox, sealSecret,
  sha256, transcript, unbase64, unhex, word
} from './sealing.mjs'

const [url, caFile, iccid, hostName, ...commands] = process.argv.slice(2)
const random = () => crypto.getRandomValues(new Uint8Array(32))

// One connection: a request and its answer have one id.

class Connection {
  constructor () {
    this.waiting = new Map()
    this.socket = new WebSocket(url, ['wsrc.v1'])
    this.id = 0
  }

  async open () {
    await new Promise((resolve, reject) => {
      this.socket.onopen = resolve
      this.socket.onerror = () => reject(new Error('no connection'))
    })
    this.socket.onmessage = ({ data }) => {
      const message = JSON.parse(data)
      this.waiting.get(message.id)?.(message)
      this.waiting.delete(message.id)
    }
    const greeted = await this.ask({ msg_type: 'hello', client_type: 'user', version: 1, name: 'node' })
    if (!greeted.features.includes('seal')) throw new Error('the server does not know seals')
    this.nonce = unbase64(greeted.nonce)
    return this
  }

  ask (message) {
    const id = ++this.id
    return new Promise((resolve) => {
      this.waiting.set(id, resolve)
      this.socket.send(JSON.stringify({ ...message, id }))
    })
  }

  // 1000 says goodbye, which gives all cards back; any other code is a loss.
  async close (code) {
    const closed = new Promise((resolve) => { this.socket.onclose = resolve })
    this.socket.close(code)
    await closed
  }
}

// The offer: the certificate is of the CA and of the host that is meant, the signature is over what
// this user knows by itself and what the card host says, and the card is the one that was selected.

async function check (ask, session, offer) {
  const certificate = new X509Certificate(unbase64(offer.certificates[0]))
  const ca = new X509Certificate(readFileSync(caFile))
  const now = Date.now()
  if (!certificate.verify(ca.publicKey)) throw new Error('the certificate is of another CA')
  if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) {
    throw new Error('the certificate is not valid now')
  }
  if (certificate.checkHost(hostName) === undefined) throw new Error('the certificate is of another host')
  const common = (theirs) => ask.suites.find((each) => theirs.includes(each))
  if (offer.suite !== common(offer.suites)) throw new Error('both have a better suite')
  if (offer.iccid !== iccid) throw new Error('another card')
  const terms = await transcript({
    ask: { ...ask, nonce: hex(unbase64(ask.nonce)) },
    asked: { session, share: 'exclusive', ways: [], user: offer.user ?? '', principal: offer.principal ?? '' },
    card: { name: '', iccid: '', eids: [], label: '', ...offer },
    said: { ...offer, nonce: hex(unbase64(offer.nonce)), key: hex(unbase64(offer.key)) },
    certificates: [hex(unbase64(offer.certificates[0]))]
  })
  const spki = hex(certificate.publicKey.export({ type: 'spki', format: 'der' }))
  const signed = pack(purpose('offer'), terms)
  if (!await isSigned(spki, hex(unbase64(offer.signature)), signed)) throw new Error('the signature is not good')
  return terms
}

// The session

class Session {
  async begin (connection) {
    const ask = { nonce: base64(random()), suites: ['p256'], mode: 'required' }
    const given = await connection.ask({ msg_type: 'select_card', iccid, keep_s: 20, seal: ask })
    if (given.msg_type !== 'select_card_ack' || !given.seal) throw new Error(JSON.stringify(given))
    this.connection = connection
    this.name = given.session
    this.where = { host: given.card.host, reader: given.card.reader }
    const terms = await check(ask, this.name, given.seal)
    const own = await first([])
    const master = random()
    const sealed = await sealSecret('p256', unbase64(given.seal.key), master, pack(purpose('secret'), terms, own))
    this.keys = await derive(master, await sha256(pack(purpose('keys'), terms, own, sealed)))
    this.secret = { sealed: base64(sealed) }
    this.seq = 0
    this.counter = 0
    return this
  }

  box (direction, kind, more) {
    return { key: this.keys[direction], direction, session: this.name, kind, seq: this.seq, pad_octets: 1, ran: 0, ...more }
  }

  async transmit (command) {
    const ran = this.seq++
    const text = JSON.stringify({ msg_type: 'c_apdu', command })
    const box = base64(await sealBox(this.box('requests', 'c_apdu', { ran, text })))
    const request = { msg_type: 'sealed', session: this.name, seq: this.seq, of: 'c_apdu', box }
    if (this.secret) request.secret = this.secret
    const answer = await this.connection.ask(request)
    if (answer.msg_type !== 'sealed_resp') throw new Error(`it may have run: ${JSON.stringify(answer)}`)
    const [, inside] = await openBox(this.box('answers', answer.of, { box: hex(unbase64(answer.box)) }))
    this.secret = null
    const said = JSON.parse(inside)
    if (said.msg_type !== answer.of) throw new Error('the server says that it is something else')
    return said.response + said.sw
  }

  async resume (connection) {
    this.connection = connection
    const counter = ++this.counter
    const claim = { session: this.name, ...this.where, seq: this.seq, counter, nonce: hex(connection.nonce) }
    const mac = base64(await hmac(unhex(this.keys.proofs), claimed(claim)))
    const resume = { msg_type: 'resume', session: this.name, seq: this.seq, ...this.where, proof: { counter, mac } }
    if (this.secret) resume.seal = this.secret
    const said = await connection.ask(resume)
    if (said.msg_type !== 'resumed') throw new Error(JSON.stringify(said))
    const numbers = [counter, this.seq, said.seq]
    const own = base64(await hmac(unhex(this.keys.words), word({ session: this.name, says: 'resumed', numbers })))
    if (own !== said.word) throw new Error('the card host has not said that')
    if (said.seq !== this.seq) throw new Error('the last request was not begun')
  }
}

const session = await new Session().begin(await new Connection().open())
const answers = []
for (const [at, command] of commands.entries()) {
  if (at === commands.length - 1) {
    await session.connection.close(4000)
    await session.resume(await new Connection().open())
  }
  answers.push(await session.transmit(command))
}
await session.connection.ask({ msg_type: 'detach', session: session.name })
await session.connection.close(1000)
console.log(JSON.stringify(answers))

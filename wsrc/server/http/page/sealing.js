// SPDX-License-Identifier: Apache-2.0
// docs/sealing.md in WebCrypto, with the suite p256: octets in, octets out.

const { subtle } = globalThis.crypto;
const EMPTY = new Uint8Array();
const V1 = utf8("HPKE-v1");
const KEM = concat(utf8("KEM"), number(0x10, 2));
const HPKE = concat(utf8("HPKE"), number(0x10, 2), number(1, 2), number(2, 2)); // HKDF-SHA256, AES-256-GCM
const ECDH = { name: "ECDH", namedCurve: "P-256" };

export const SUITE = "p256";

// Browsers have WebCrypto where a page came over TLS, or from the same host.
export const canSeal = () => subtle !== undefined;

export function utf8(text) {
  return new TextEncoder().encode(text);
}

export const hex = (octets) => Array.from(octets, (each) => each.toString(16).padStart(2, "0")).join("");
export const unhex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
export const base64 = (octets) => btoa(Array.from(octets, (each) => String.fromCharCode(each)).join(""));
export const unbase64 = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
export const random = () => crypto.getRandomValues(new Uint8Array(32));

function concat(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function number(value, octets = 8) {
  const all = new Uint8Array(octets);
  for (let at = octets - 1, rest = BigInt(value); at >= 0; at--, rest >>= 8n) all[at] = Number(rest & 255n);
  return all;
}

export const pack = (...parts) => concat(...parts.flatMap((part) => [number(part.length, 4), part]));
export const texts = (all) => pack(...all.map(utf8));
export const purpose = (what) => utf8(`WSRC seal 1 ${what}`);
export const sha256 = async (octets) => new Uint8Array(await subtle.digest("SHA-256", octets));

async function hmac(key, octets) {
  const made = await subtle.importKey("raw", key.length ? key : new Uint8Array(32), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", made, octets));
}

const extract = (id, salt, label, secret) => hmac(salt, concat(V1, id, utf8(label), secret));
const expand = async (key, info, octets) => (await hmac(key, concat(info, number(1, 1)))).slice(0, octets); // 32 at most
const labelled = (id, key, label, info, octets) => expand(key, concat(number(octets, 2), V1, id, utf8(label), info), octets);

async function gcm(what, key, iv, additionalData, octets) {
  const made = await subtle.importKey("raw", key, "AES-GCM", false, [what]);
  return new Uint8Array(await subtle[what]({ name: "AES-GCM", iv, additionalData }, made, octets));
}

// Seals to a public key, by HPKE in mode base (RFC 9180): the encapsulated key, then what is sealed.
export async function sealTo(key, plain, info) {
  const own = await subtle.generateKey(ECDH, false, ["deriveBits"]);
  const enc = new Uint8Array(await subtle.exportKey("raw", own.publicKey));
  const other = await subtle.importKey("raw", key, ECDH, false, []);
  const dh = new Uint8Array(await subtle.deriveBits({ name: "ECDH", public: other }, own.privateKey, 256));
  const shared = await labelled(KEM, await extract(KEM, EMPTY, "eae_prk", dh), "shared_secret", concat(enc, key), 32);
  const context = concat(number(0, 1), await extract(HPKE, EMPTY, "psk_id_hash", EMPTY), await extract(HPKE, EMPTY, "info_hash", info));
  const secret = await extract(HPKE, shared, "secret", EMPTY);
  const iv = await labelled(HPKE, secret, "base_nonce", context, 12);
  return concat(enc, await gcm("encrypt", await labelled(HPKE, secret, "key", context, 32), iv, EMPTY, plain));
}

// The keys of a session, from the secret and the salt.
export async function keysOf(secret, salt) {
  const made = await hmac(salt, secret);
  const names = ["requests", "answers"];
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await expand(made, purpose(name), 32)])));
}

const nonceOf = (direction, seq) => concat(number(direction === "requests" ? 1 : 2, 4), number(seq));
const about = (session, direction, kind, seq) => pack(purpose("box"), utf8(session), utf8(direction), utf8(kind), number(seq));

export function sealBox(key, session, kind, seq, ran, text) {
  const plain = concat(number(ran), utf8(text), new Uint8Array([0x80]));
  return gcm("encrypt", key, nonceOf("requests", seq), about(session, "requests", kind, seq), plain);
}

// Returns the text of an answer; throws if the box is not what the card host sealed.
export async function openBox(key, session, kind, seq, box) {
  const plain = await gcm("decrypt", key, nonceOf("answers", seq), about(session, "answers", kind, seq), box);
  let end = plain.length;
  while (end > 0 && plain[end - 1] === 0) end--;
  if (end < 9 || plain[end - 1] !== 0x80) throw new Error("A box has no end.");
  return new TextDecoder().decode(plain.slice(8, end - 1));
}

// Keys of certificates

const CURVES = {
  "2a8648ce3d030107": ["P-256", "SHA-256"],
  "2b81040022": ["P-384", "SHA-384"],
  "2b81040023": ["P-521", "SHA-512"],
};

// Returns where the content of what begins at `at` begins, and where it ends (ITU-T X.690).
function der(octets, at) {
  let from = at + 2;
  let length = octets[at + 1];
  if (length & 0x80) {
    from += length & 0x7f;
    length = octets.slice(at + 2, from).reduce((sum, each) => sum * 256 + each, 0);
  }
  const end = from + length;
  if (!(end <= octets.length)) throw new Error("A certificate is cut short.");
  return { at, tag: octets[at], from, end };
}

// Returns SubjectPublicKeyInfo of a certificate (RFC 5280 clause 4.1).
export function publicKeyOf(certificate) {
  const inside = der(certificate, der(certificate, 0).from);
  let field = der(certificate, inside.from);
  if (field.tag === 0xa0) field = der(certificate, field.end); // version
  for (let after = 0; after < 5; after++) field = der(certificate, field.end); // serial number to subject
  return certificate.slice(field.at, field.end);
}

function algorithmOf(spki) {
  const kind = der(spki, der(spki, der(spki, 0).from).from);
  const said = hex(spki.slice(kind.from, kind.end));
  if (said === "2b6570") return [{ name: "Ed25519" }, "Ed25519"];
  if (said === "2a864886f70d010101") return [{ name: "RSA-PSS", hash: "SHA-256" }, { name: "RSA-PSS", saltLength: 32 }];
  const curve = der(spki, kind.end);
  const found = said === "2a8648ce3d0201" ? CURVES[hex(spki.slice(curve.from, curve.end))] : undefined;
  if (!found) throw new Error("The certificate of the card host has a key of a kind that is not known here.");
  return [{ name: "ECDSA", namedCurve: found[0] }, { name: "ECDSA", hash: found[1] }];
}

export async function isSigned(spki, signature, octets) {
  const [kind, how] = algorithmOf(spki);
  const key = await subtle.importKey("spki", spki, kind, false, ["verify"]);
  return subtle.verify(how, key, signature, octets);
}

// As `wsrc` and ssh write such.
export const fingerprintOf = async (spki) => `SHA256:${base64(await sha256(spki)).replaceAll("=", "")}`;

// SPDX-License-Identifier: Apache-2.0
// The REST interface of the server that this page is from.

export const BASE = "api/v1";

// Why a request was not answered with its result: `code`, `status`, and a sentence.
export class Problem extends Error {
  constructor(status, told) {
    super(told.detail ?? `The server answers ${status}.`);
    this.status = status;
    this.code = told.code ?? "";
    this.outcome = told.outcome ?? "";
  }
}

const strangers = [];

// Calls `heard` when the server does not know any more who asks.
export const whenStranger = (heard) => strangers.push(heard);

export async function ask(method, path, body, headers = {}) {
  const given = { "WSRC-Page": "1", ...headers };
  if (body !== undefined) given["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(`${BASE}${path}`, {
      method,
      headers: given,
      body: body === undefined ? undefined : JSON.stringify(body),
      redirect: "error",
      keepalive: method === "DELETE", // a card is given back by a page that is being closed
      signal: AbortSignal.timeout(150_000),
    });
  } catch {
    throw new Problem(0, { detail: "The server does not answer.", code: "unreachable", outcome: method === "GET" ? "" : "unknown" });
  }
  const text = await response.text();
  let told = null;
  try {
    told = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem(response.status, {});
  }
  if (response.ok) return told;
  if (response.status === 401 && path !== "/login") for (const heard of strangers) heard();
  throw new Problem(response.status, told ?? {});
}

export const get = (path) => ask("GET", path);
export const post = (path, body) => ask("POST", path, body);

// The one card, or reader, that a row is of.
export function selectionOf(reader) {
  const { iccid, atr } = reader.card ?? {};
  const which = iccid ? { iccid } : atr ? { atr } : {};
  return { ...which, reader: reader.reader };
}

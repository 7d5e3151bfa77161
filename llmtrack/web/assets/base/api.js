/** The calls to the collector. Whatever fails is thrown as a Problem with a sentence for the reader. */

import { EventSourceParserStream } from "../vendor/eventsource-parser/stream.js";

/**
 * @typedef {{title?: string, url: string}} Citation
 * @typedef {{query: string, sessionId: string, turn_id: string, trackingSessionId: string | null, token?: string,
 *   regenerate?: boolean, edits?: string}} Question `turn_id` names the question: asked again it is the same turn
 * @typedef {{turn_id?: string, provider?: string, tracked?: boolean, notice?: string | null}} Meta
 * @typedef {{partial?: boolean, stopped?: boolean, finish_reason?: string | null, thinking_ms?: number}} Outcome
 * @typedef {Meta & Outcome & {answer: string, citations?: Citation[]}} Answer
 * @typedef {{event: "meta", data: Meta} | {event: "thinking" | "token", data: {text: string}} |
 *   {event: "done", data: Answer}} Step
 * @typedef {{sessionId: string, title: string, updated_at: string}} SavedChat
 * @typedef {Meta & Outcome & {role: "user" | "assistant", text?: string, thinking?: string, citations?: Citation[],
 *   error?: string, writing?: boolean}} Message `writing`: the answer is not whole yet
 */

const NO_SERVER = "The server did not answer. Check the connection, then try again.";
const BROKEN_OFF = "The answer broke off before its end.";

/** A failure in words for the reader; `meta` is what the server said about the turn, if it knew of it. */
export class Problem extends Error {
  /**
   * @param {string} message
   * @param {Meta} [meta]
   * @param {number} [status] 0 when the connection failed
   */
  constructor(message, meta = {}, status = 0) {
    super(message);
    this.meta = meta;
    this.status = status;
    this.lost = status === 0;
  }
}

/**
 * Ask, and yield the answer's steps as they arrive; the last one is "done".
 * @param {Question} question
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Step>}
 */
export async function* ask(question, signal) {
  const response = await call("/query", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify({ ...question, stream: true }),
    signal,
  });
  if (response.headers.get("Content-Type")?.startsWith("application/json")) {
    yield { event: "done", data: await response.json() }; // an answer without any text is not streamed
    return;
  }
  let done = false;
  for await (const { event, data } of events(response)) {
    const step = /** @type {any} */ ({ event, data: JSON.parse(data) });
    if (event === "error") throw new Problem(step.data.error, step.data, step.data.status ?? 502);
    done ||= event === "done";
    yield step;
  }
  if (!done) throw new Problem(BROKEN_OFF);
}

/**
 * @param {string} words only chats in whose title or texts they stand; all when empty
 * @returns {Promise<SavedChat[]>} newest first
 */
export async function savedChats(words) {
  return (await (await call(words ? `/api/chats?q=${encodeURIComponent(words)}` : "/api/chats")).json()).chats;
}

/**
 * @param {string} id
 * @returns {Promise<{title: string, messages: Message[]} | null>} null when there is no such chat (yet)
 */
export async function savedChat(id) {
  try {
    return await (await call(chatPath(id))).json();
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 404) return null;
    throw problem;
  }
}

/**
 * Delete a chat; `keepalive` lets the request outlive the page. One that is gone already is no failure.
 * @param {string} id
 */
export async function deleteChat(id) {
  try {
    await call(chatPath(id), { method: "DELETE", keepalive: true });
  } catch (problem) {
    if (!(problem instanceof Problem && problem.status === 404)) throw problem;
  }
}

/**
 * @param {string} id
 * @param {string} title
 */
export async function renameChat(id, title) {
  const body = JSON.stringify({ title });
  await call(chatPath(id), { method: "PATCH", headers: { "Content-Type": "application/json" }, body });
}

/**
 * Stop an answer that is being written, whoever asked for it. One that is whole already is no failure.
 * @param {string} id the chat
 * @param {string} turn
 */
export async function stopAnswer(id, turn) {
  const body = JSON.stringify({ turn_id: turn });
  const headers = { "Content-Type": "application/json" };
  await call(`${chatPath(id)}/stop`, { method: "POST", headers, body, keepalive: true }).catch(() => {});
}

/** @param {string} id */
const chatPath = (id) => `/api/chats/${encodeURIComponent(id)}`;

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
async function call(path, options) {
  const response = await fetch(path, options).catch((error) => {
    throw options?.signal?.aborted ? error : new Problem(NO_SERVER);
  });
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Problem(body.error ?? `The server answered ${response.status}.`, body, response.status);
}

/**
 * The server-sent events of a response.
 * @param {Response} response
 */
async function* events(response) {
  if (!response.body) throw new Problem(BROKEN_OFF);
  const decoder = /** @type {ReadableWritablePair<string, any>} */ (new TextDecoderStream());
  const reader = response.body.pipeThrough(decoder).pipeThrough(new EventSourceParserStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    // A connection that is lost in the middle ends in a TypeError; an aborted one is the reader's own wish.
    throw error instanceof TypeError ? new Problem(BROKEN_OFF) : error;
  } finally {
    reader.cancel().catch(() => {});
  }
}

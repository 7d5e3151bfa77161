/**
 * The chat page. One chat is open at a time; its id is not the id of the tracked visit: New Chat changes the one and leaves
 * the other. What the page knows of a chat comes from two places: the answer that this page asked for, and what is saved,
 * which also holds what other tabs ask and what a page that was reloaded had asked.
 */

import { ask, Problem, savedChat, stopAnswer } from "./base/api.js";
import { byId } from "./base/dom.js";
import { newId } from "./base/ids.js";
import { composing } from "./base/keys.js";
import { announce } from "./base/status.js";
import { keep, recall } from "./base/storage.js";
import { track, visit } from "./base/tracking.js";
import { addressed, go, settle } from "./page/address.js";
import { Composer } from "./page/composer.js";
import { Conversation } from "./page/conversation.js";
import { dialogs } from "./page/dialogs.js";
import { Drawer } from "./page/drawer.js";
import { Follower } from "./page/scroll.js";
import { Sidebar } from "./page/sidebar.js";
import { Tabs } from "./page/tabs.js";
import { problem } from "./turn/problem.js";

/** @typedef {import("./turn/turn.js").Turn} Turn */

const CHAT_ID = "sessionId";
const NEW = "New chat";
const LOOK_MS = 1000;

const chatProblem = byId("chat-problem", HTMLDivElement);

const conversation = new Conversation({ again: answer, edit });
const sidebar = new Sidebar({
  open: (id) => open(id),
  renamed: (id, title) => id === chat && setTitle(title),
  left: (id) => id === chat && newChat(),
});
const drawer = new Drawer();
const follower = new Follower();
const composer = new Composer(send, stop);
const tabs = new Tabs((id) => changed(id), () => show(newId(), [], NEW, "/"));

/** The chat that is open. */
let chat = "";
/** The answer that this page is getting. @type {{turn: Turn, controller: AbortController} | null} */
let running = null;
let looking = 0;

/** @param {string} prompt */
function send(prompt) {
  answer(conversation.ask(prompt));
}

/**
 * @param {Turn} turn
 * @param {string} prompt
 */
function edit(turn, prompt) {
  if (busy()) return false;
  answer(conversation.ask(prompt, turn));
  return true;
}

const busy = () => running !== null || conversation.open !== undefined;

/**
 * Get the answer of a turn, or get it again.
 * @param {Turn} turn
 */
async function answer(turn) {
  if (running) return;
  const mine = (running = { turn, controller: new AbortController() });
  settle(chat);
  setTitle(sidebar.title(chat) ?? turn.prompt);
  chatProblem.hidden = true;
  turn.start();
  setBusy();
  announce("The answer is being written.");
  follower.toEnd();
  try {
    for await (const step of ask(question(turn), mine.controller.signal)) take(turn, step);
  } catch (error) {
    if (mine.controller.signal.aborted) turn.stop();
    else await failed(turn, error);
  } finally {
    if (running === mine) running = null;
    setBusy();
    sidebar.refresh();
    tabs.tell(turn.chatId);
    if (conversation.open) look();
  }
}

/** @param {Turn} turn */
function question({ id, prompt, chatId, known, edits }) {
  const asked = { query: prompt, sessionId: chatId, turn_id: id, ...visit() };
  if (known) return { ...asked, regenerate: true };
  return edits ? { ...asked, edits } : asked;
}

/**
 * @param {Turn} turn
 * @param {import("./base/api.js").Step} step
 */
function take(turn, { event, data }) {
  if (event === "meta") {
    turn.meta(data);
    sidebar.refresh();
    tabs.tell(turn.chatId);
  } else if (event === "thinking") turn.think(data.text);
  else if (event === "token") turn.add(data.text);
  else if (event === "done") {
    turn.done(data);
    announce(`Answer: ${turn.answer.textContent}`);
  }
}

/**
 * The answer did not come to its end here. Where only the connection was lost, it may be written all the same.
 * @param {Turn} turn
 * @param {unknown} error
 */
async function failed(turn, error) {
  if (!(error instanceof Problem)) {
    console.error(error);
    return turn.fail("Something went wrong on this page. Reload it, then look again.");
  }
  if (error.lost && turn.known) {
    const saved = await savedChat(turn.chatId).catch(() => null);
    const [asked, got] = saved?.messages.filter(({ turn_id }) => turn_id === turn.id) ?? [];
    if (asked && (asked.writing || (got && (got.writing || !got.partial)))) return turn.restore(asked, got);
  }
  turn.fail(error.message, error.meta);
}

function setBusy() {
  composer.busy(busy());
  conversation.busy(busy());
}

/** Stop what is written, be it here or for another tab; the server goes on otherwise. */
function stop() {
  const turn = running?.turn ?? conversation.open;
  if (!turn) return;
  stopAnswer(turn.chatId, turn.id);
  if (running) {
    running.controller.abort();
    announce("Stopped.");
  } else look();
}

/**
 * Another chat takes the page; an answer that is being written goes on without it.
 * @param {string} id
 * @param {import("./base/api.js").Message[]} messages
 * @param {string} title
 * @param {string} [path] of a chat that is not saved yet
 */
function show(id, messages, title, path) {
  leave(id);
  settle(id, path);
  conversation.show(id, messages);
  sidebar.mark(id);
  setTitle(title);
  setBusy();
  follower.toEnd();
  if (conversation.open) look();
}

/** @param {string} id the chat that comes */
function leave(id) {
  running?.controller.abort();
  running = null;
  clearTimeout(looking);
  chatProblem.hidden = true;
  chat = id;
  keep(CHAT_ID, id);
}

/** Another chat in the same visit. */
function newChat() {
  const id = newId();
  go(id, "/");
  show(id, [], NEW, "/");
  track("new_chat", { chat_session_id: id });
}

/**
 * Open a chat that is saved, as far as anybody knows.
 * @param {string} id
 */
async function open(id) {
  leave(id);
  drawer.close();
  go(id, addressed() === id ? location.pathname : undefined);
  try {
    const saved = await savedChat(id);
    if (chat !== id) return; // the reader went on to another one meanwhile
    if (saved) show(id, saved.messages, saved.title);
    else show(id, [], NEW, "/");
    composer.focus();
  } catch (error) {
    if (chat !== id || !(error instanceof Problem)) return;
    show(id, [], "Chat", location.pathname);
    conversation.blank();
    chatProblem.replaceChildren(problem(error.message, "Try again", () => open(id)));
    chatProblem.hidden = false;
  }
}

/** Look at what is saved of the chat, and once a second while an answer is being written that this page does not get. */
async function look() {
  clearTimeout(looking);
  const id = chat;
  const open = conversation.open;
  const saved = await savedChat(id).catch(() => undefined);
  if (chat !== id || running) return;
  if (saved) {
    conversation.update(saved.messages);
    if (open && !open.open) announce(`Answer: ${open.answer.textContent}`);
    setTitle(saved.title);
  }
  setBusy();
  if (conversation.open) looking = window.setTimeout(look, LOOK_MS);
}

/** @param {string} id a chat that another tab changed */
function changed(id) {
  sidebar.refresh();
  if (id === chat && !running) look();
}

/** @param {string} title */
function setTitle(title) {
  byId("title", HTMLHeadingElement).textContent = title;
  document.title = title;
}

function start() {
  for (const id of ["new-chat", "new-chat-top"]) {
    byId(id, HTMLButtonElement).addEventListener("click", () => {
      newChat();
      drawer.close();
      composer.focus();
      announce(NEW);
    });
  }
  byId("suggestions", HTMLUListElement).addEventListener("click", ({ target }) => {
    if (target instanceof HTMLButtonElement && !busy()) send(target.textContent ?? "");
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || composing(event) || document.querySelector("dialog[open]")) return;
    if (drawer.open) drawer.close();
    else stop();
  });
  addEventListener("popstate", () => open(addressed() || newId()));
  document.addEventListener("visibilitychange", () => document.hidden || changed(chat)); // others may have chatted
  byId("recorded", HTMLSpanElement).hidden = visit().trackingSessionId === null;
  dialogs();
  sidebar.start();
  const last = addressed() || recall(CHAT_ID);
  if (last) open(last);
  else show(newId(), [], NEW, "/");
  composer.focus();
}

start();

/**
 * The chat page. One chat is open at a time; its id lives in sessionStorage, so that every tab has its own, and is not the
 * id of the tracked visit: New Chat changes the one and leaves the other.
 */

import { ask, Problem, savedChat } from "./api.js";
import { Composer } from "./composer.js";
import { byId } from "./dom.js";
import { Drawer } from "./drawer.js";
import { Follower } from "./scroll.js";
import { Sidebar } from "./sidebar.js";
import { announce } from "./status.js";
import { track, trackingSessionId } from "./tracking.js";
import { problem, Turn } from "./turn.js";

const CHAT_ID = "sessionId";

const conversation = byId("conversation", HTMLOListElement);
const empty = byId("empty", HTMLElement);
const chatProblem = byId("chat-problem", HTMLDivElement);

const sidebar = new Sidebar(open, (id) => id === chatId() && newChat());
const drawer = new Drawer();
const follower = new Follower();
const composer = new Composer(send, stop);

/** The answer that is being written. @type {AbortController | null} */
let running = null;

const chatId = () => sessionStorage.getItem(CHAT_ID) ?? "";

/** A new chat's id; randomUUID is missing where the page is served over plain http from another machine. */
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} prompt */
function send(prompt) {
  const turn = new Turn(prompt, chatId(), answer);
  empty.hidden = true;
  conversation.append(turn.element);
  setTitle(sidebar.title(chatId()) ?? prompt);
  answer(turn);
}

/**
 * Get the answer of a turn, or get it again.
 * @param {Turn} turn
 */
async function answer(turn) {
  if (running) return;
  const controller = (running = new AbortController());
  const question = { query: turn.prompt, sessionId: turn.chatId, trackingSessionId: trackingSessionId() };
  composer.busy(true);
  turn.start();
  announce("The answer is being written.");
  follower.toEnd();
  try {
    const steps = ask(turn.known ? { ...question, regenerate: true } : question, controller.signal);
    for await (const { event, data } of steps) {
      if (event === "meta") begin(turn, data);
      else if (event === "token") turn.add(data.text);
      else if (event === "done") {
        turn.done(data);
        announce(`Answer: ${turn.answer.textContent}`);
      }
    }
  } catch (error) {
    if (controller.signal.aborted) {
      turn.stop();
      announce("Stopped.");
    } else if (error instanceof Problem) turn.fail(error.message, error.meta);
    else throw error;
  } finally {
    if (running === controller) {
      running = null;
      composer.busy(false);
    }
    sidebar.refresh();
  }
}

/**
 * @param {Turn} turn
 * @param {import("./api.js").Meta} meta
 */
function begin(turn, meta) {
  turn.meta(meta);
  sidebar.refresh();
}

function stop() {
  running?.abort();
}

/** Leave the chat that is open, and whatever is being written in it. */
function leave() {
  stop();
  running = null;
  composer.busy(false);
  chatProblem.hidden = true;
}

/**
 * @param {string} id
 * @param {Turn[]} turns
 * @param {string} title
 */
function show(id, turns, title) {
  sessionStorage.setItem(CHAT_ID, id);
  conversation.dataset.chatSessionId = id;
  conversation.replaceChildren(...turns.map(({ element }) => element));
  empty.hidden = turns.length > 0;
  sidebar.mark(id);
  setTitle(title);
  follower.toEnd();
}

/** Another chat in the same visit. */
function newChat() {
  leave();
  show(newId(), [], "New chat");
  track("new_chat", { chat_session_id: chatId() });
}

/**
 * Open a saved chat.
 * @param {string} id
 */
async function open(id) {
  leave();
  drawer.close();
  sessionStorage.setItem(CHAT_ID, id);
  try {
    const chat = await savedChat(id);
    if (chatId() !== id) return; // the reader went on to another one meanwhile
    show(id, chat ? turns(id, chat.messages) : [], chat?.title ?? "New chat");
    composer.focus();
  } catch (error) {
    if (chatId() !== id || !(error instanceof Problem)) return;
    show(id, [], "Chat");
    empty.hidden = true;
    chatProblem.replaceChildren(problem(error.message, "Try again", () => open(id)));
    chatProblem.hidden = false;
  }
}

/**
 * The turns of saved messages: each prompt with the last answer it got.
 * @param {string} id
 * @param {import("./api.js").Message[]} messages
 */
function turns(id, messages) {
  /** @type {Turn[]} */
  const all = [];
  messages.forEach((message, index) => {
    if (message.role === "user") {
      all.push(new Turn(message.text ?? "", id, answer));
      if (messages[index + 1]?.role !== "assistant") all.at(-1)?.fail("This message got no answer.", message);
    } else {
      all.at(-1)?.restore(message);
    }
  });
  return all;
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
      announce("New chat");
    });
  }
  byId("suggestions", HTMLUListElement).addEventListener("click", ({ target }) => {
    if (target instanceof HTMLButtonElement) send(target.textContent ?? "");
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    if (drawer.open) drawer.close();
    else stop();
  });
  byId("recorded", HTMLSpanElement).hidden = trackingSessionId() === null;
  sidebar.start();
  if (chatId()) open(chatId());
  else show(newId(), [], "New chat");
  composer.focus();
}

start();

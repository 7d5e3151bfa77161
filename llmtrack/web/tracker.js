const BEAT = 250, IDLE = 30_000, REST = 500, DAY = 86_400_000, DEAD = 120_000;
const BATCH_MS = 2_000, BATCH_EVENTS = 20, QUEUE = 2_000;
const BATCH_BYTES = 40_000, BEACON_BYTES = 64_000, EVENT_BYTES = 100_000, SPOOL_BYTES = 200_000, TEXT = 20_000;
const SPOOL = "llmtrack:spool:", USER = "llmtrack:user", OUT = "llmtrack:optout", CONSENT = "llmtrack:consent";
const EDITOR = "[contenteditable]:not([contenteditable=false]),[role=textbox]", FIELD = "input,textarea,select";
const MASKED = "[data-llmtrack-mask],textarea:not(:empty)";
const CONTROL = "a[href],button,summary,[role=button],[role=link],[type=button],[type=submit],[type=reset]";

const gpc = navigator.globalPrivacyControl === true, dnt = navigator.doNotTrack === "1";

let settings, visit;

/** @type {Window["llmtrack"]} */
const mine = {
  sessionId: null,
  start(options) {
    guard(() => {
      settings ??= { ...options };
      settings.consent ??= options?.consent;
      settings.respectDnt ??= options?.respectDnt;
      heed();
    });
  },
  track(type, data) {
    guard(() => push(wellFormed(String(type), 100), data));
  },
  optOut() {
    decide(OUT, "1");
  },
  consent(given) {
    decide(CONSENT, given ? "1" : "");
  },
};

const api = window.llmtrack?.optOut ? window.llmtrack : mine;

let warned = false;

function warn(error) {
  if (!warned) console.warn("llmtrack:", error);
  warned = true;
}

function guard(work) {
  try {
    work();
  } catch (error) {
    warn(error);
  }
}

const later = (work, ms) => setTimeout(() => guard(work), ms);

function on(target, types, handler, capture = true) {
  for (const type of types.split(" ")) {
    const guarded = (event) => event.isTrusted && guard(() => handler(event));
    target.addEventListener(type, guarded, { capture, passive: true });
  }
}

function disk(work) {
  try {
    return work(localStorage);
  } catch {}
}

const read = (key) => disk((storage) => storage.getItem(key));

const wellFormed = (text, most = TEXT) => text.slice(0, most).toWellFormed();

const encoder = new TextEncoder();
const bytes = (text) => encoder.encode(text).length;
const random = () => crypto.getRandomValues(new BigUint64Array(2)).join("");

const address = ({ protocol, host, pathname }) => protocol + (host && protocol !== "file:" ? `//${host}${pathname}` : "");
const pageUrl = () => address(location);
const route = () => (settings.hashRoutes != null && location.hash.match(/^#!?\/[^?&=]*/)?.[0]) || undefined;

let zero = 0;

function clock() {
  const since = Date.now() - performance.now();
  if (since > zero + 5_000) zero = since;
  return zero + performance.now();
}

const decided = { [OUT]: read(OUT), [CONSENT]: read(CONSENT) };

function decide(key, value) {
  decided[key] = value;
  guard(heed);
  disk((storage) => {
    for (const name in storage) if (!visit && /^llmtrack:(user|spool)/.test(name)) storage.removeItem(name);
    storage.setItem(key, value);
  });
}

function heed() {
  if (!settings) return;
  const agreed = decided[CONSENT] ?? settings.consent == null;
  if (!agreed || decided[OUT] || (settings.respectDnt != null && (gpc || dnt))) stop();
  else if (!visit && !document.prerendering) begin(settings);
}

function begin({ endpoint, experiment, user }, previous) {
  const began = clock();
  const id = user || read(USER) || random();
  if (!user) disk((storage) => storage.setItem(USER, id));
  const name = id.replace(/[^a-z\d.-]/gi, "").slice(0, 64) || "anonymous";
  mine.sessionId = `user_${name}_${Math.round(began)}_${random()}`;
  const base = endpoint ? new URL(endpoint.replace(/\/*$/, "/"), location.href) : import.meta.url;
  visit = {
    to: new URL("api/session/", base).href,
    start: {
      session_id: mine.sessionId,
      secret: random(),
      user_id: id,
      experiment_id: experiment || undefined,
      previous_session_id: previous,
      environment: {
        viewport: { width: innerWidth, height: innerHeight },
        language: navigator.language,
        page_url: pageUrl(),
        route: route(),
        referrer: document.referrer.match(/^[^/]*\/\/[^/?#]*/)?.[0] ?? "",
        ...Object.fromEntries([...new URLSearchParams(location.search)].filter(([key]) => /^utm_/.test(key))),
        automation: navigator.webdriver,
        touch: navigator.maxTouchPoints > 0,
        gpc,
        dnt,
      },
    },
    began, token: "", offset: 0, left: 0, at: 0, n: 0, queue: [],
  };
  input = began;
  idle = true;
  selectedAt = 0;
  moved = null;
  views = { __proto__: null };
  where = here();
  listen();
  active();
  if (document.hidden) shown();
  run();
}

function push(type, data = {}, t = clock()) {
  if (!visit || visit.left || visit.refused) return;
  navigated();
  const n = ++visit.n;
  if (visit.queue.length >= QUEUE) return;
  let json = '{"unreadable":true}';
  try {
    const object = Object(data) === data && !Array.isArray(data) ? data : { value: data };
    json = JSON.stringify(object, (_, value) => (typeof value === "string" ? wellFormed(value) : value)) ?? json;
  } catch {}
  let size = bytes(json);
  if (size > EVENT_BYTES) size = (json = `{"truncated":${size}}`).length;
  visit.queue.push({ n, t, type, json, size });
}

function stop() {
  if (visit) {
    visit.queue = [];
    save(visit);
  }
  visit = mine.sessionId = null;
  deadman.abort();
}

function leave() {
  const v = visit;
  if (!v) return;
  if (!v.left) {
    checkIdle();
    settle();
    scrolled();
    looked();
    v.left = clock();
  }
  if (v.token && !v.told) fit(v, (body) => (v.told = navigator.sendBeacon(v.to + "end", body)));
  deadman.abort();
  if (!v.kept) save(v);
  v.kept = true;
}

let saved = 0, beats = 0, deadman = new AbortController();

function fewer(count, take) {
  for (;; count >>= 1) {
    try {
      if (take(count)) return;
    } catch {}
    if (!count) return;
  }
}

function save(v) {
  if (!visit || settings.spool === "off") return;
  if (v === visit) v.at = clock();
  const key = SPOOL + v.start.session_id;
  if (!v.queue.length && !(v.left && !v.ended)) return disk((storage) => storage.removeItem(key));
  fewer(v.queue.length, (most) => {
    const text = JSON.stringify({ ...v, queue: v.queue.slice(0, most) }), room = SPOOL_BYTES - bytes(key + text);
    if (room < 0) return;
    orphans(room, key);
    localStorage.setItem(key, text);
    return true;
  });
}

function orphans(room = SPOOL_BYTES, but = "") {
  const began = (key) => key.split("_").at(-2);
  return disk((storage) => Object.keys(storage).filter((key) => key.startsWith(SPOOL) && key !== but)
    .sort((a, b) => began(b) - began(a)).flatMap((key) => {
      const v = disk(() => JSON.parse(storage[key])), age = Math.abs(clock() - v?.at);
      room -= bytes(key + storage[key]);
      if (room >= 0 && v?.queue && age < DAY) return v.left || age > DEAD ? v : [];
      storage.removeItem(key);
      return [];
    })) ?? [];
}

function checkpoint() {
  if (beats % 3 || !visit || visit.left || visit.n === saved) return;
  saved = visit.n;
  save(visit);
  arm(visit);
}

function arm(v) {
  if (!window.fetchLater || !v.token) return;
  deadman.abort();
  deadman = new AbortController();
  fit(v, (body) => window.fetchLater(v.to + "end", { method: "POST", body, signal: deadman.signal }));
}

let busy = false, failures = 0, sweepAt = 0;

function dispatch() {
  const queue = visit?.queue ?? [], size = queue.reduce((sum, event) => sum + event.size, 0);
  if (queue.length >= BATCH_EVENTS || size >= BATCH_BYTES || clock() - queue[0]?.t >= BATCH_MS) run();
}

async function run() {
  if (busy || !visit || visit.left) return;
  busy = true;
  try {
    await deliver(visit);
    failures = 0;
    await sweep();
  } catch (error) {
    return rest(error);
  }
  busy = false;
}

function rest({ after }) {
  const asked = after * 1_000 || Date.parse(after) - Date.now() || 0;
  const pause = Math.max(Math.min(60_000, 1_000 * 2 ** failures++), Math.min(asked, DAY / 24));
  later(() => {
    busy = false;
    run();
  }, pause * (1 + Math.random() / 4));
}

async function sweep() {
  if (beats < sweepAt) return;
  sweepAt = beats + 240;
  const v = visit;
  for (const orphan of orphans()) if (v === visit) await deliver(orphan).catch(() => {});
}

async function deliver(v) {
  const last = v.n;
  let again = false;
  save(v);
  while (visit) {
    let batch = v.queue, { left } = v;
    try {
      if (!v.token) await open(v);
      const packed = pack(v, BATCH_EVENTS, BATCH_BYTES, (left = v.left));
      batch = packed.events;
      if (!batch.length && !left) return;
      const { rejected } = await post(v.to + (left ? "end" : "event"), packed.body);
      if (rejected?.length) warn(rejected);
    } catch (error) {
      if (!error.refused) throw error;
      if (v.token && !again && [401, 403, 404].includes(error.status)) {
        again = true;
        v.token = "";
        continue;
      }
      warn(error);
      v.refused = !v.token;
    }
    v.queue = v.queue.filter((event) => !batch.includes(event));
    v.ended = left > 0 && !v.queue.length;
    save(v);
    if (!(v.queue[0]?.n <= last)) return;
  }
}

async function open(v) {
  const sent = clock();
  const reply = await post(v.to + "start", JSON.stringify({ ...v.start, age_ms: Math.min(DAY, sent - v.began) }));
  if (!reply.token) throw "no token";
  v.offset = reply.server_time - (sent + clock()) / 2;
  v.token = reply.token;
}

async function post(url, body) {
  const keepalive = document.hidden || !visit?.token;
  const reply = await fetch(url, { method: "POST", body, keepalive, signal: AbortSignal.timeout(10_000) });
  if (reply.ok) return reply.json();
  const { status } = reply, refused = status >= 400 && status < 500 && status !== 429;
  throw { status, refused, after: reply.headers.get("retry-after") };
}

function pack({ token, offset, start: { session_id }, queue }, most = 0, room = 0, left = 0) {
  const parts = [];
  for (const { n, t, type, json } of queue.slice(0, most)) {
    const part = `{"n":${n},"t":${Math.round(t + offset)},"type":${JSON.stringify(type)},"data":${json}}`;
    room -= bytes(part) + 1;
    if (parts.length && room < 0) break;
    parts.push(part);
  }
  const head = JSON.stringify({ session_id, token, sent_at: clock() + offset, t: left ? left + offset : undefined });
  return { body: `${head.slice(0, -1)},"events":[${parts}]}`, events: queue.slice(0, parts.length) };
}

function fit(v, send, left = v.left || clock()) {
  fewer(v.queue.length, (most) => send(pack(v, most, BEACON_BYTES, left).body));
}

const outer = (node) => node.assignedSlot ?? node.parentNode ?? node.host;
const after = (node) => node && (node.nextSibling ?? after(node.parentNode));

function within(node, test) {
  for (; node; node = outer(node)) if (test(node)) return node;
}

const editor = (node) => node.isContentEditable || node.editContext || node.matches?.(EDITOR);
const field = (node) => editor(node) || node.matches?.(FIELD);
const secret = (node) => editor(node) || node.matches?.(MASKED);

function secrets(node, end) {
  for (; node && node !== end; node = node.firstChild ?? after(node))
    if (secret(node) || within(node.assignedSlot, secret)) return true;
}

function focused() {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at;
}

function place(selection, shadowRoots = []) {
  let at = selection.getRangeAt(0);
  try {
    at = selection.getComposedRanges({ shadowRoots })[0] ?? at;
  } catch {}
  const root = at.startContainer.childNodes[at.startOffset]?.shadowRoot;
  return root && !shadowRoots.includes(root) ? place(selection, [...shadowRoots, root]) : at;
}

function spelled(text, whole) {
  const letters = (words) => words.normalize("NFKC").toLowerCase().match(/\S/g) ?? [], sought = letters(text);
  let found = 0;
  for (const letter of letters(whole)) if (letter === sought[found]) found++;
  return found === sought.length;
}

function selected(copied = "") {
  const selection = getSelection();
  if (!selection?.rangeCount || within(focused(), field)) return;
  const { startContainer, startOffset, endContainer, endOffset } = place(selection), root = startContainer.getRootNode();
  const open = (selection.anchorNode?.getRootNode() === root) !== selection.isCollapsed;
  if (!open || root !== endContainer.getRootNode()) return;
  const range = new Range();
  range.setStart(startContainer, startOffset);
  range.setEnd(endContainer, endOffset);
  const whole = String(range), huge = whole.length > EVENT_BYTES, text = huge ? whole : String(selection);
  if (!text.trim()) return;
  const masked = huge || !spelled(text, whole) || within(startContainer, secret)
    || secrets(startContainer, endContainer.childNodes[endOffset] ?? after(endContainer));
  const said = (!masked && copied) || text;
  const data = {
    selected_text: masked ? "" : said,
    selected_length: masked || said.length > TEXT ? said.length : undefined,
    masked: masked ? true : undefined,
    page_url: pageUrl(),
    turn_id: within(startContainer, (node) => node.dataset?.turnId)?.dataset.turnId,
    chat_session_id: within(startContainer, (node) => node.dataset?.chatSessionId)?.dataset.chatSessionId,
  };
  return { text, data };
}

function label(el) {
  if (secrets(el, after(el)) || el.querySelector(FIELD)) return;
  const name = el.ariaLabel || el.textContent.trim() || el.value || el.title || el.querySelector("[alt]")?.alt;
  return name && wellFormed(name.trim().replace(/\s+/g, " "), 80);
}

function clicked(target) {
  const data = { target: target.tagName };
  if (within(target, secret)) return data;
  const named = within(target, (node) => node.dataset?.llmtrackName || node.matches?.(CONTROL));
  if (named && settings.names !== "off") data.name = named.dataset?.llmtrackName || label(named);
  const link = within(target, (node) => node.pathname && node.matches("a"));
  if (link) data.href = link.origin === location.origin ? link.pathname : address(link);
  return data;
}

let idle, input;

const framed = () => document.hasFocus() && focused()?.tagName === "IFRAME";

function checkIdle() {
  const quiet = clock() - input;
  if (idle || quiet < IDLE) return;
  if (framed() && quiet < 2 * IDLE) {
    input += quiet;
    push("activity", { activity_state: "active", frame: true });
  } else {
    idle = true;
    push("activity", { activity_state: "idle" }, input + IDLE);
  }
}

function active() {
  checkIdle();
  input = clock();
  if (idle) push("activity", { activity_state: "active" }, input);
  idle = false;
}

const tops = new WeakMap();
let pressed, ownUntil, moved;

function onScroll({ target }) {
  const el = target === document ? document.scrollingElement : target;
  if (!el || within(el, field)) return;
  const t = clock(), top = el.scrollTop, step = top - (tops.get(el) ?? 0);
  tops.set(el, top);
  if (!step) return;
  if (!moved) later(scrolled, REST);
  if (moved?.el !== el) moved = { el, path: 0, since: moved?.since ?? t };
  moved.path += Math.abs(step);
  moved.down = step > 0;
  moved.own ||= pressed || t < ownUntil;
}

function scrolled() {
  if (!moved) return;
  const { el, path, down, since, own } = moved;
  moved = null;
  push("scroll", {
    scrollY: Math.round(el.scrollTop),
    speed: Math.round((path * 1_000) / Math.max(clock() - since, REST)),
    direction: down ? "down" : "up",
    page_height: el.scrollHeight,
    view_height: el.clientHeight,
    user: own && undefined,
  });
}

let selectedAt, lastText = "";

function rested() {
  if (!pressed && clock() - selectedAt >= REST) settle();
}

function settle() {
  if (!selectedAt) return;
  const { text = "", data } = selected() ?? {};
  if (data && text !== lastText) push("selection", data, selectedAt);
  lastText = text;
  selectedAt = 0;
}

let views = {}, lookedAt, roots = [];

function answers() {
  roots = roots.filter((root) => root.isConnected);
  const found = [document, ...roots].flatMap((root) => [...root.querySelectorAll("[data-turn-id]")]);
  for (const { dataset } of found) views[dataset.turnId] ??= { ms: 0, px: 0 };
  return found;
}

function look() {
  if (!visit || document.hidden) return;
  const observer = new IntersectionObserver((entries) => {
    observer.disconnect();
    guard(() => document.hidden || looked(entries));
  });
  for (const el of [document.documentElement, ...answers()]) observer.observe(el);
}

function looked(entries = answers() && []) {
  const t = clock(), spent = Math.min(t - lookedAt, 4 * BEAT);
  lookedAt = t;
  for (const { target, intersectionRect: part, boundingClientRect: box } of entries) {
    const view = views[target.dataset.turnId];
    if (!view || !part.height) continue;
    view.height = Math.max(box.height, view.now && view.height);
    view.px = Math.max(view.px, part.bottom - box.top);
    view.now = true;
  }
  for (const turn_id in views) {
    const view = views[turn_id], { on, now, told } = view;
    if (on) view.ms += spent;
    view.on = now;
    view.now = false;
    if (on ? now : told || entries[0]) continue;
    const seen_share = Math.round(100 * Math.min(1, view.px / view.height || 0)) / 100;
    push("view", { turn_id, visible_ms: Math.round(view.ms), seen_share });
    view.ms = 0;
    view.told = true;
  }
}

const here = () => pageUrl() + route();
let where;

function navigated() {
  if (where === here()) return;
  where = here();
  push("navigation", { page_url: pageUrl(), route: route() });
}

function shown() {
  if (document.hidden) looked();
  push("visibility", { visibility_state: document.visibilityState });
  if (!document.hidden) return active();
  save(visit);
  run();
}

let listen = () => {
  listen = () => {};
  tops.set(document.scrollingElement ?? document, scrollY);
  setInterval(() => ++beats && [navigated, checkIdle, rested, checkpoint, dispatch, look].forEach(guard), BEAT);
  on(window, "pointermove pointerdown pointerup pointercancel wheel touchmove keydown", (event) => {
    const { type } = event, path = event.composedPath();
    if (type.startsWith("pointer")) pressed = event.buttons > 0;
    else if (type !== "keydown" || (!within(path[0], field) && /^(Arrow|Page|Home|End| )/.test(event.key))) {
      ownUntil = clock() + (type === "touchmove" ? 3_000 : 1_000);
    }
    for (const root of path) {
      if (!(root instanceof ShadowRoot) || roots.includes(root)) continue;
      roots.push(root);
      on(root, "scroll", onScroll);
    }
    active();
  });
  on(window, "blur", () => later(() => framed() && active(), 0));
  on(document, "scroll", onScroll);
  on(document, "click", (event) => {
    const { x, y } = event, target = event.composedPath()[0];
    push("click", { ...clicked(target), x: Math.round(x), y: Math.round(y), page_url: pageUrl() });
  });
  on(document, "selectionchange", () => (selectedAt = clock()));
  on(window, "copy", (event) => {
    settle();
    const copied = !within(event.composedPath()[0], field) && selected(event.clipboardData.getData("text/plain"));
    if (copied) push("copy", copied.data);
  }, false);
  for (const name of ["pushState", "replaceState"]) {
    const real = history[name];
    history[name] = (...state) => {
      real.apply(history, state);
      guard(navigated);
    };
  }
  on(document, "visibilitychange", () => (visit?.left ? leave() : shown()));
  on(window, "pagehide pagehide", leave);
  on(window, "pageshow", ({ persisted }) => {
    if (persisted && visit) begin(settings, visit.start.session_id);
  });
};

guard(() => {
  const self = `${import.meta.url}`.split("#")[0];
  for (const { src, dataset } of document.scripts) {
    const known = /llmtrack/.test(self) || dataset.endpoint || dataset.experiment;
    if (known && src.split("#")[0] === self) api.start({ ...dataset });
  }
  if (api !== mine) return;
  window.llmtrack = api;
  orphans();
  later(() => settings ?? warn("no tag: waits for llmtrack.start({…})"), 1_000);
  on(window, "storage", ({ key, newValue }) => {
    if (!(key in decided)) return;
    decided[key] = newValue;
    heed();
  });
  on(document, "prerenderingchange", heed);
});

export default api;
export const { start } = api;

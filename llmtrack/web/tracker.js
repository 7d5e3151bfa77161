// What is recorded: docs/tracking.md. Types: globals.d.ts.
// The page never notices: entry points guarded, listeners passive, work in timers.

const IDLE = 30_000, WINDOW = 500, SETTLE = 600, DAY = 86_400_000; // ms
const BATCH_MS = 2_000, BATCH_EVENTS = 20, BATCH_BYTES = 40_000;
const BEACON_BYTES = 64_000; // all beacons and keepalive requests of a page share 65,536
const QUEUE = 2_000; // events; later ones are lost: a gap in n
const TEXT = 20_000, DATA = 100_000; // characters
const DEAD = 120_000; // ms of silence; hidden tabs wake once a minute
const SPOOL = "llmtrack:spool:", USER = "llmtrack:user", OUT = "llmtrack:optout", CONSENT = "llmtrack:consent";
const EDITABLE = "[contenteditable]:not([contenteditable=false])";
const FIELD = "input,textarea,select," + EDITABLE, PRIVATE = "[data-llmtrack-mask]," + EDITABLE;

const tag = [...document.scripts].find((script) => script.src === import.meta.url);
const { endpoint, experiment, user, spool, respectDnt, consent } = tag?.dataset ?? {};
const gpc = navigator.globalPrivacyControl === true, dnt = navigator.doNotTrack === "1";

/** @type {Window["llmtrack"]} */
const api = {
  sessionId: null,
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

/** @type {Visit | null} */
let visit = null;
let warned = false;

/** @param {any} error */
function warn(error) {
  if (!warned) console.warn("llmtrack:", error);
  warned = true;
}

/** @param {() => void} work */
function guard(work) {
  try {
    work();
  } catch (error) {
    warn(error);
  }
}

/** @type {Later} */
const later = (work, ms) => setTimeout(() => guard(work), ms);

/** @type {On} */
function on(target, types, handler) {
  for (const type of types.split(" ")) {
    const guarded = (/** @type {Event} */ event) => event.isTrusted && guard(() => handler(event));
    target.addEventListener(type, guarded, { capture: true, passive: true });
  }
}

/** It may be full or forbidden. @type {Disk} */
function disk(work) {
  try {
    return work(localStorage);
  } catch {}
}

/** @param {string} key */
const read = (key) => disk((storage) => storage.getItem(key));

/** A cut may leave half an emoji, which no database holds. @param {string} text */
function wellFormed(text, most = TEXT) {
  return text.slice(0, most).toWellFormed();
}

const random = () => crypto.getRandomValues(new BigUint64Array(2)).join("");
const pageUrl = () => location.origin + location.pathname;

let zero = 0;

/** Epoch ms that never run back; performance.now() may stop in a sleeping laptop. */
function clock() {
  const since = Date.now() - performance.now();
  if (since > zero + 5_000) zero = since;
  return zero + performance.now();
}

// --- what the person decided

/** @type {Decided} */
const decided = { [OUT]: read(OUT), [CONSENT]: read(CONSENT) };

/** Stopping forgets all but the decision. @type {Decide} */
function decide(key, value) {
  decided[key] = value;
  guard(heed);
  disk((storage) => {
    for (const name in storage) if (!visit && /^llmtrack:(user|spool)/.test(name)) storage.removeItem(name);
    storage.setItem(key, value);
  });
}

function heed() {
  const agreed = decided[CONSENT] ?? consent !== "required";
  if (!agreed || decided[OUT] || (respectDnt !== undefined && (gpc || dnt))) stop();
  else if (!visit && !document.prerendering) begin();
}

// --- visits and their events

/** @param {string} [previous] from the back/forward cache */
function begin(previous) {
  const began = clock();
  const id = user || read(USER) || random();
  if (!user) disk((storage) => storage.setItem(USER, id));
  const name = id.replace(/[^a-z\d.-]/gi, "").slice(0, 64) || "anonymous";
  api.sessionId = `user_${name}_${Math.round(began)}_${random()}`;
  const base = endpoint ? new URL(endpoint.replace(/\/*$/, "/"), location.href) : import.meta.url;
  visit = {
    to: new URL("api/session/", base).href,
    start: {
      session_id: api.sessionId,
      secret: random(),
      user_id: id,
      experiment_id: experiment || undefined,
      previous_session_id: previous,
      environment: {
        viewport: { width: innerWidth, height: innerHeight },
        language: navigator.language,
        page_url: pageUrl(),
        referrer: document.referrer && new URL(document.referrer).origin,
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
  listen();
  active();
  run();
}

/** @type {Push} */
function push(type, data = {}, t = clock()) {
  if (!visit || visit.left || visit.refused) return;
  const n = ++visit.n;
  if (visit.queue.length >= QUEUE) return;
  let json = '{"unreadable":true}'; // cyclic data, a BigInt, a getter that throws
  try {
    const object = Object(data) === data && !Array.isArray(data) ? data : { value: data };
    json = JSON.stringify(object, (_, value) => (typeof value === "string" ? wellFormed(value) : value)) ?? json;
  } catch {}
  if (json.length > DATA) json = `{"truncated":${json.length}}`;
  visit.queue.push({ n, t, type, json });
  checkpoint();
  schedule(visit.queue);
}

function stop() {
  if (visit) {
    visit.queue = [];
    save(visit);
  }
  visit = api.sessionId = null;
  deadman.abort();
}

function leave() {
  const v = visit;
  if (!v || v.left) return;
  checkIdle();
  settle();
  scrolled();
  v.left = clock();
  deadman.abort();
  save(v);
  if (v.token) fit(v, (body) => navigator.sendBeacon(v.to + "end", body));
}

// --- the spool: what the server has not acknowledged

let saved = 0, saving = 0;
let deadman = new AbortController();

/** @param {Visit} v */
function save(v) {
  if (!visit || spool === "off") return;
  if (v === visit) v.at = clock();
  const key = SPOOL + v.start.session_id, keep = v.queue.length || (v.left && !v.ended);
  disk((storage) => (keep ? storage.setItem(key, JSON.stringify(v)) : storage.removeItem(key)));
}

/** Visits whose page is gone. @returns {Visit[]} */
function orphans() {
  return disk((storage) => Object.keys(storage).filter((key) => key.startsWith(SPOOL)).flatMap((key) => {
    const v = disk(() => JSON.parse(storage[key]));
    const age = Math.abs(clock() - v?.at);
    if (v?.queue && age < DAY) return v.left || age > DEAD ? v : [];
    storage.removeItem(key);
    return [];
  })) ?? [];
}

/** Once a second at most, never inside a handler. */
function checkpoint() {
  saving ||= later(() => {
    saving = 0;
    saved = performance.now();
    if (!visit || visit.left) return;
    save(visit);
    arm(visit);
  }, saved + 1_000 - performance.now());
}

/** A dead-man's switch: the browser sends it when the page dies without pagehide. @param {Visit} v */
function arm(v) {
  if (!window.fetchLater || !v.token) return;
  deadman.abort();
  deadman = new AbortController();
  fit(v, (body) => window.fetchLater?.(v.to + "end", { method: "POST", body, signal: deadman.signal }));
}

// --- sending

const encoder = new TextEncoder();
let busy = false; // sending, or resting after a failure
let failures = 0, timer = 0, swept = -DEAD;

/** @param {Tracked[]} queue */
function schedule(queue) {
  if (busy) return;
  const full = queue.length >= BATCH_EVENTS || queue.map((event) => event.json).join().length >= BATCH_BYTES;
  if (timer && !full) return;
  clearTimeout(timer);
  timer = later(run, full ? 0 : BATCH_MS);
}

/** The only sender: one request at a time, rests that no event cuts short. */
async function run(keepalive = false) {
  if (busy || !visit || visit.left) return;
  clearTimeout(timer);
  timer = 0;
  busy = true;
  try {
    await deliver(visit, keepalive);
    failures = 0;
    await sweep();
  } catch (error) {
    return rest(error);
  }
  busy = false;
  if (visit?.queue.length) schedule(visit.queue);
}

/** @param {any} error whose `after` is Retry-After: seconds or a date */
function rest({ after }) {
  const asked = after * 1_000 || Date.parse(after) - Date.now() || 0;
  const pause = Math.max(Math.min(60_000, 1_000 * 2 ** failures++), Math.min(asked, DAY / 24));
  later(() => {
    busy = false;
    run();
  }, pause * (1 + Math.random() / 4));
}

/** Sends what other pages left, once a minute at most. */
async function sweep() {
  if (performance.now() - swept < DEAD / 2) return;
  swept = performance.now();
  const v = visit;
  for (const orphan of orphans()) if (v === visit) await deliver(orphan).catch(() => {}); // until the next time
}

/** Sends what the visit holds by now. Throws what is worth another try. @param {Visit} v */
async function deliver(v, keepalive = false) {
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
      const { rejected } = await post(v.to + (left ? "end" : "event"), packed.body, keepalive);
      if (rejected?.length) warn(rejected);
    } catch (/** @type {any} */ error) {
      if (!error.refused) throw error;
      if (v.token && !again && [401, 403, 404].includes(error.status)) {
        again = true; // the token is too old, or the server lost the session: start it once more
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

/** @param {Visit} v */
async function open(v) {
  const sent = clock();
  const reply = await post(v.to + "start", JSON.stringify({ ...v.start, age_ms: Math.min(DAY, sent - v.began) }));
  if (!reply.token || !reply.server_time) throw new Error("no token");
  v.offset = reply.server_time - (sent + clock()) / 2;
  v.token = reply.token;
}

/** As text/plain, which needs no preflight. @type {Post} */
async function post(url, body, keepalive = true) {
  const reply = await fetch(url, { method: "POST", body, keepalive, signal: AbortSignal.timeout(10_000) });
  if (reply.ok) return reply.json();
  const { status } = reply, refused = status >= 400 && status < 500 && status !== 429;
  throw { status, refused, after: reply.headers.get("retry-after"), text: await reply.text() };
}

/** A body with the first events that fit. @param {Visit} v */
function pack({ token, offset, start: { session_id }, queue }, most = 0, room = 0, left = 0) {
  const parts = [];
  for (const { n, t, type, json } of queue.slice(0, most)) {
    const part = `{"n":${n},"t":${Math.round(t + offset)},"type":${JSON.stringify(type)},"data":${json}}`;
    room -= encoder.encode(part).length + 1;
    if (parts.length && room < 0) break;
    parts.push(part);
  }
  const head = JSON.stringify({ session_id, token, sent_at: clock() + offset, t: left ? left + offset : undefined });
  return { body: `${head.slice(0, -1)},"events":[${parts}]}`, events: queue.slice(0, parts.length) };
}

/** As much as the browser takes. @type {Fit} */
function fit(v, send, left = v.left || clock()) {
  for (let most = v.queue.length; ; most >>= 1) {
    try {
      if (send(pack(v, most, BEACON_BYTES, left).body)) return;
    } catch {}
    if (!most) return;
  }
}

// --- what is recorded

let idle = false, input = 0, idleTimer = 0;

/** Idle is dated when it began, however late this runs. */
function checkIdle() {
  const quiet = clock() - input;
  clearTimeout(idleTimer);
  if (quiet < IDLE) {
    idleTimer = later(checkIdle, IDLE - quiet);
  } else if (!idle) {
    idle = true;
    push("activity", { activity_state: "idle" }, input + IDLE);
  }
}

function active() {
  const t = clock();
  if (t - input >= IDLE) checkIdle();
  input = t;
  if (!idle) return;
  idle = false;
  push("activity", { activity_state: "active" }, t);
  checkIdle();
}

/** @type {Within} */
const within = (node, selector = FIELD) => (node?.closest ? node : node?.parentElement)?.closest(selector);

const tops = new WeakMap();
let pressed = false, ownUntil = 0; // until then a scroll is the person's own
/** @type {Movement | null} */
let moved = null;

/** @param {Event} event */
function onScroll({ target }) {
  const el = /** @type {Element} */ (target === document ? document.scrollingElement : target);
  if (!el || within(el)) return;
  const t = clock(), top = el.scrollTop, step = top - (tops.get(el) ?? 0);
  tops.set(el, top);
  if (!step) return;
  if (!moved) later(scrolled, WINDOW);
  if (moved?.el !== el) moved = { el, path: 0, down: true, since: moved?.since ?? t, own: false };
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
    speed: Math.round((path * 1_000) / Math.max(clock() - since, WINDOW)),
    direction: down ? "down" : "up",
    page_height: el.scrollHeight,
    view_height: el.clientHeight,
    user: own && undefined,
  });
}

/** Nothing while a field has the focus: it would be a draft. */
function selected() {
  const selection = getSelection(), text = String(selection);
  if (!selection?.rangeCount || !text.trim() || within(document.activeElement)) return;
  const start = selection.getRangeAt(0).startContainer;
  const masked = [...document.querySelectorAll(PRIVATE)].some((part) => selection.containsNode(part, true));
  const data = {
    selected_text: masked ? "" : text,
    selected_length: masked || text.length > TEXT ? text.length : undefined,
    masked: masked || undefined,
    page_url: pageUrl(),
    turn_id: within(start, "[data-turn-id]")?.dataset.turnId,
    chat_session_id: within(start, "[data-chat-session-id]")?.dataset.chatSessionId,
  };
  return { text, data };
}

let settling = 0, selectedAt = 0, lastText = "";

/** It has settled when it rests and no button is held. */
function awaitSelection() {
  clearTimeout(settling);
  settling = later(() => (pressed ? awaitSelection() : settle()), SETTLE);
}

function settle() {
  if (!selectedAt) return;
  clearTimeout(settling);
  const { text = "", data } = selected() ?? {};
  if (data && text !== lastText) push("selection", data, selectedAt);
  lastText = text;
  selectedAt = 0;
}

let listen = () => {
  listen = () => {}; // once
  tops.set(document.scrollingElement ?? document, scrollY);
  on(window, "pointermove pointerdown pointerup pointercancel wheel touchmove keydown", (event) => {
    const { type } = event;
    if (type.startsWith("pointer")) pressed = event.buttons > 0;
    else if (type !== "keydown" || (!within(event.target) && /^(Arrow|Page|Home|End| )/.test(event.key))) {
      ownUntil = clock() + (type === "touchmove" ? 3_000 : 1_000); // momentum and smooth scrolling last
    }
    active();
  });
  on(document, "scroll", onScroll);
  on(document, "click", ({ target, clientX, clientY }) => {
    push("click", { target: target.tagName, x: Math.round(clientX), y: Math.round(clientY), page_url: pageUrl() });
  });
  on(document, "selectionchange", () => {
    selectedAt = clock();
    awaitSelection();
  });
  on(document, "copy", ({ target }) => {
    settle();
    const copied = within(target) ? null : selected();
    if (copied) push("copy", copied.data);
  });
  on(document, "visibilitychange", () => {
    if (document.visibilityState === "visible") active();
    else run(true);
  });
  on(window, "pagehide", leave);
  on(window, "pageshow", ({ persisted }) => {
    if (persisted && visit) begin(visit.start.session_id);
  });
};

guard(() => {
  window.llmtrack = api;
  on(window, "storage", ({ key, newValue }) => {
    if (!(key in decided)) return;
    decided[key] = newValue; // in another tab
    heed();
  });
  on(document, "prerenderingchange", heed);
  heed();
});

export default api;

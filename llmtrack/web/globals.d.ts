// Types for the checks of tracker.js (npm run check:js), and the reasons that it has no room for: every byte of it is
// loaded by every page, so its comments are few and its helpers' parameters are inferred. Nothing of this is served.
//
// The page never notices: entry points are guarded, listeners passive; storage and network work waits for timers.
//
// address     An address may carry what is private: a query, a fragment, the path of a file, a letter's addressee.
// api         A page may load the tracker twice (?v=2): the first one serves both, with the strictest of their settings.
// arm         A dead-man's switch: the browser sends it when the page dies without pagehide. Armed at a checkpoint.
// beat        Four times a second: what can wait for it needs no timer of its own. Each part is guarded alone.
// checkpoint  Every third beat, never inside a handler.
// clock       Epoch ms that never run back. performance.now() may stop in a sleeping laptop; the date may be set back.
// checkIdle   Idle is dated when it began, however late this runs. What is done in a frame is not seen, that it has the
//             focus is: such a page stays active. A timer that is much too late says that the machine slept.
// CONTROL     What has a name of its own. Names are cut at 80 characters.
// decide      Stopping forgets all but the decision.
// deliver     Sends what the visit holds by now; throws what is worth another try. A token that is refused may be too old,
//             or the server lost the session: it is started once more, and what is refused then is given up.
// editor      An EditContext makes any element an editor and shows in no attribute; designMode makes all of them editable.
// fewer       Tries with ever fewer events until they are taken: a beacon, a disk that is nearly full.
// leave       Firefox stops the scripts of a closing tab in the middle, most often where they touch the disk: the beacon
//             goes first, and a second listener and visibilitychange do what is not done yet.
// listen      History tells nobody of pushState; a router that kept the real one is seen by the next beat. Scroll
//             events do not leave a shadow root: each open one is listened to when a gesture shows it. Momentum and
//             smooth scrolling last up to 1 s, after a touch 3 s. A copy is seen last, when the page's own listeners
//             have put there what they want to be copied.
// look        A new observer tells at once of all that it is given, at the next frame: no layout is forced, what virtual
//             lists recycle is asked anew each time, and clipping by whatever scrolls is the browser's work. The root
//             element is asked of, too: else nothing would tell that the last answer has gone.
// looked      Without entries the page is hidden or left: what was on the screen leaves it, what never was is told. The
//             share is of px, as an answer grows while it is read. A beat that comes late says that the machine slept.
// MASKED      Firefox reads the children of a text area, which a server may have filled with a draft.
// orphans     Visits whose page is gone. Oldest first, what has no room in SPOOL_BYTES or is older than a day is
//             forgotten, at load too, with or without a collector. Hidden tabs wake once a minute: DEAD is two.
// pack        A body with the first events that fit. All beacons and keepalive requests of a page share 65,536 bytes.
// place       The range in its own tree: browsers tell of a shadow tree only to those who know its root, so the descent
//             begins at the host. Browsers before getComposedRanges tell of the light tree alone.
// post        As text/plain, which needs no preflight. The start outlives its page, and what is sent as the page hides.
// push        A route is told before what happened on it. Data may be cyclic, hold a BigInt, or a getter that throws.
//             Later ones than QUEUE are lost: a gap in n.
// run         The only sender: one request at a time; rests that no event cuts short.
// rest        `after` is Retry-After: seconds or a date.
// selected    Nothing where a field has the focus or the tree cannot be known, as it may be a draft. In a shadow tree
//             Firefox shows its range to all, the others a collapsed one; for a closed root neither agrees with the range
//             that place() finds. Of what is secret, huge (reading it is slow), or not spelled by the range: the length.
// self        The tag of a bundle that holds this module is not the tracker's own: none of its settings would be there.
// settle      A selection has settled when it rests and no button is held.
// spelled     WebKit and Chromium give the text of a whole document, or of a closed root, for some drags across trees.
//             A style may set other letters than the document's: capitals, and those of MathML (NFKC makes them equal).
// sweep       Once a minute at most; what fails waits for the next time.
// wellFormed  A cut may leave half an emoji, which no database holds.

/** An event that waits. `t` is epoch ms of the browser's clock, `json` its data. */
interface Tracked {
  n: number;
  t: number;
  type: string;
  json: string;
  /** Bytes of json. */
  size: number;
}

/** One page load, as it also lies in the spool. All times are epoch ms of the browser's clock. */
interface Visit {
  /** Where to send: the collector's …/api/session/ */
  to: string;
  /** The body of start. Its secret tells the server that a later start is ours too. */
  start: Record<string, any>;
  began: number;
  /** Empty until the server has answered start. */
  token: string;
  /** Server time − browser's clock; 0 until the server has answered start. */
  offset: number;
  /** When the page was left, 0 before. */
  left: number;
  /** When the spool was last written by its page. */
  at: number;
  /** The last n given. */
  n: number;
  /** What the server has not acknowledged. */
  queue: Tracked[];
  /** The server has acknowledged the end. */
  ended?: boolean;
  /** The server will not have this session. */
  refused?: boolean;
  /** Its end is on its way in a beacon. */
  told?: boolean;
  /** Its spool is written for the last time. */
  kept?: boolean;
}

/** The data- attributes of the tracker's tag, or what start() is given. */
interface Settings {
  endpoint?: string;
  experiment?: string;
  user?: string;
  /** Anything: nothing is recorded before consent(true). */
  consent?: unknown;
  /** Anything: Global Privacy Control and Do Not Track are a no. */
  respectDnt?: unknown;
  /** "off": nothing unsent is kept. */
  spool?: string;
  /** "off": clicks carry no names. */
  names?: string;
  /** Anything: the fragment holds the page's route. */
  hashRoutes?: unknown;
}

interface Window {
  katex: Katex;
  llmtrack: {
    sessionId: string | null;
    start(settings?: Settings): void;
    track(type: string, data?: any): void;
    /** Missing where an element of the page is called llmtrack. */
    optOut?(): void;
    consent(given: boolean): void;
  };
  fetchLater(url: string, options: RequestInit): unknown;
}

interface Navigator {
  globalPrivacyControl?: boolean;
}

interface Document {
  prerendering?: boolean;
}

/** KaTeX, as far as the chat page uses it. */
interface Katex {
  render(tex: string, element: HTMLElement, options: Record<string, unknown>): void;
}

/** highlight.js, as far as the chat page uses it. */
interface Highlighter {
  getLanguage(name: string): unknown;
  highlight(code: string, options: { language: string; ignoreIllegals: boolean }): { value: string };
}

// Types for the checks of tracker.js (npm run check:js); nothing of this is served.

/** An event that waits. `t` is epoch ms of the browser's clock, `json` its data. */
interface Tracked {
  n: number;
  t: number;
  type: string;
  json: string;
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
}

/** A scroll that is not over yet: px since epoch ms, and whether a gesture of the person caused it. */
interface Movement {
  el: Element;
  path: number;
  down: boolean;
  since: number;
  own: boolean;
}

type On = (target: EventTarget, types: string, handler: (event: any) => void) => void;
type Disk = <T>(work: (storage: Storage) => T) => T | undefined;
type Later = (work: () => void, ms: number) => number;
type Within = (node: any, selector?: string) => HTMLElement | null;
type Push = (type: string, data?: any, t?: number) => void;
type Post = (url: string, body: string, keepalive?: boolean) => Promise<any>;
/** Gives `send` ever fewer events until it says that it took them. */
type Fit = (visit: Visit, send: (body: string) => any, left?: number) => void;

/** What is kept in localStorage of opting out and of consent: "1", "" for a refusal, null for neither. */
type Decided = Record<string, string | null | undefined>;
type Decide = (key: string, value: string) => void;

interface Window {
  katex: Katex;
  llmtrack: {
    sessionId: string | null;
    token?: string;
    track(type: string, data?: any): void;
    optOut(): void;
    consent(given: boolean): void;
  };
  fetchLater?(url: string, options: RequestInit): unknown;
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

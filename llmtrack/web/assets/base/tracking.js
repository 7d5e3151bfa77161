/**
 * What the page tells llmtrack. The tracker is looked up at each use: it may be missing (blocked, failed to load) or
 * switched off by the reader, and the chat works all the same.
 */

/** @returns {Window["llmtrack"] | undefined} */
const tracker = () => window.llmtrack;

/** The id of this visit, or null when it is not tracked. */
export const trackingSessionId = () => tracker()?.sessionId ?? null;

/** What a question says of the visit. The token proves to whom this page was served, whatever cookie another tab has got. */
export function visit() {
  const { token } = document.documentElement.dataset;
  return { trackingSessionId: trackingSessionId(), ...(token ? { token } : {}) };
}

/**
 * @param {string} type
 * @param {object} data
 */
export const track = (type, data) => tracker()?.track(type, data);

/** Where a copy happened, as the tracker itself writes it: without the query string. */
export const pageUrl = () => location.origin + location.pathname;

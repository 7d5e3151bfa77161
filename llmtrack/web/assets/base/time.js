/** Times as people say them. */

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;

/**
 * "just now", "5 minutes ago", "yesterday", "12 Nov".
 * @param {string} iso
 * @param {number} [now] epoch ms
 */
export function ago(iso, now = Date.now()) {
  const then = new Date(iso);
  const seconds = (now - then.getTime()) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds < MINUTE_S) return "just now";
  if (seconds < HOUR_S) return relative.format(-Math.floor(seconds / MINUTE_S), "minute");
  const midnights = Math.round((midnight(new Date(now)) - midnight(then)) / (DAY_S * 1000));
  if (midnights === 0) return relative.format(-Math.floor(seconds / HOUR_S), "hour");
  if (midnights < 7) return relative.format(-midnights, "day");
  return (then.getFullYear() === new Date(now).getFullYear() ? day : year).format(then);
}

/** @param {Date} date */
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

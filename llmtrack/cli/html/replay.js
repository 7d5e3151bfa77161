"use strict";
// The player of a replay's page. Without it the page shows everything; it hides what has not happened yet.
(() => {
  const events = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".event")]);
  const player = /** @type {HTMLElement} */ (document.querySelector(".player"));
  const get = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
  const [play, seek, pace, search, told] = ["play", "seek", "pace", "search", "told"].map(get);
  const due = events.map((event) => Number(event.dataset.due));
  const clocks = events.map((event) => event.querySelector("time")?.textContent ?? "");
  const questions = events.flatMap((event, place) => (event.classList.contains("prompt") ? [place] : []));
  const words = events.map((event) => (event.textContent ?? "").toLowerCase());
  const length = Number(player.dataset.length);
  let at = 0, shown = 0, playing = false, last = 0, said = "";

  const draw = () => {
    events.forEach((event, place) => {
      event.hidden = place >= shown;
      event.classList.toggle("now", place === shown - 1);
    });
    seek.value = String(at);
    play.textContent = playing ? "Pause" : "Play";
    seek.setAttribute("aria-valuetext", shown ? clocks[shown - 1] : "the beginning");
    told.textContent = `${said && `${said}, `}event ${shown} of ${events.length}`;
  };
  const show = () => { draw(); events[shown - 1]?.scrollIntoView({ block: "nearest" }); };
  const stand = (/** @type {number} */ count) => {
    shown = Math.max(0, Math.min(events.length, count));
    at = shown ? due[shown - 1] : 0;
    show();
  };
  const goTo = (/** @type {number} */ second) => {
    at = second;
    shown = due.filter((each) => each <= at).length;
    show();
  };
  const tick = (/** @type {number} */ now) => {
    if (!playing) return;
    at = Math.min(length, at + ((now - last) / 1000) * Number(pace.value));
    last = now;
    const before = shown;
    while (shown < events.length && due[shown] <= at) shown += 1;
    if (at >= length) playing = false;
    if (shown === before) draw(); else show();
    requestAnimationFrame(tick);
  };
  const toggle = () => {
    if (!playing && at >= length) stand(0);
    playing = !playing;
    last = performance.now();
    if (playing) requestAnimationFrame(tick);
    draw();
  };
  const halt = () => { playing = false; said = ""; };
  const question = (/** @type {number} */ way) => {
    const found = way > 0 ? questions.find((place) => place >= shown) : questions.findLast((place) => place < shown - 1);
    if (found !== undefined) stand(found + 1);
  };
  const find = (/** @type {number} */ way) => {
    const wanted = search.value.trim().toLowerCase();
    const places = wanted ? words.flatMap((text, place) => (text.includes(wanted) ? [place] : [])) : [];
    events.forEach((event, place) => event.classList.toggle("found", places.includes(place)));
    if (!places.length) { said = wanted ? "nothing found" : ""; draw(); return; }
    const next = way > 0 ? places.find((place) => place > shown - 1) ?? places[0]
      : places.findLast((place) => place < shown - 1) ?? places[places.length - 1];
    said = `${places.indexOf(next) + 1} of ${places.length} found`;
    stand(next + 1);
  };
  const faster = (/** @type {number} */ way) => {
    pace.selectedIndex = Math.max(0, Math.min(pace.options.length - 1, pace.selectedIndex + way));
  };
  /** @type {Record<string, () => void>} */
  const keys = {
    " ": toggle,
    ArrowRight: () => { halt(); stand(shown + 1); },
    ".": () => { halt(); stand(shown + 1); },
    ArrowLeft: () => { halt(); stand(shown - 1); },
    "]": () => { halt(); question(1); },
    "[": () => { halt(); question(-1); },
    "+": () => faster(1),
    "-": () => faster(-1),
    "/": () => search.focus(),
    n: () => { halt(); find(1); },
    N: () => { halt(); find(-1); },
    Home: () => { halt(); stand(0); },
    End: () => { halt(); goTo(length); },
  };
  for (let tenth = 0; tenth < 10; tenth += 1) keys[tenth] = () => { halt(); goTo((length * tenth) / 10); };
  document.addEventListener("keydown", (event) => {
    const on = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    if (on.matches("input, select") || (event.key === " " && on.matches("button, a"))) return;
    event.preventDefault();
    keys[event.key]();
  });
  search.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") { halt(); find(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") search.blur();
  });
  play.addEventListener("click", toggle);
  seek.addEventListener("input", () => { halt(); goTo(Number(seek.value)); });
  get("next").addEventListener("click", () => { halt(); question(1); });
  get("before").addEventListener("click", () => { halt(); question(-1); });
  player.hidden = false;
  draw();
})();

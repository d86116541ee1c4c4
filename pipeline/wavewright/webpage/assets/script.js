"use strict";
// Only one player of a page sounds at a time. Without this script every player works on its own.
(() => {
  document.documentElement.classList.add("script");
  let current = null;

  const mark = (audio, playing) => audio.closest(".clip").classList.toggle("playing", playing);

  // "play" does not bubble, but it can be captured on the way down.
  document.addEventListener("play", (event) => {
    if (current && current !== event.target) {
      current.pause();
    }
    current = event.target;
    mark(current, true);
  }, true);

  for (const name of ["pause", "ended"]) {
    document.addEventListener(name, (event) => mark(event.target, false), true);
  }
})();

"use strict";
// Only one player sounds at a time. Where the page offers it (the box `keep`), players of one
// utterance take over from each other at the same position, and digits choose between them.
// Without this script every player still works on its own.
(() => {
  document.documentElement.classList.add("script");
  const keep = document.getElementById("keep");
  let current = null;

  const mark = (audio, playing) => audio.closest(".clip").classList.toggle("playing", playing);

  // "play" does not bubble, but it can be captured on the way down.
  document.addEventListener("play", (event) => {
    const next = event.target;
    const last = current;
    if (last && last !== next) {
      const sameUtterance = last.closest("article") === next.closest("article");
      if (keep && keep.checked && sameUtterance && !last.ended) {
        moveTo(next, last.currentTime);
      }
      last.pause();
    }
    current = next;
    mark(next, true);
  }, true);

  for (const name of ["pause", "ended"]) {
    document.addEventListener(name, (event) => mark(event.target, false), true);
  }

  function moveTo(audio, seconds) {
    const seek = () => {
      audio.currentTime = Math.min(seconds, Math.max(0, audio.duration - 0.05));
    };
    if (audio.readyState > 0) {
      seek();
    } else {
      audio.addEventListener("loadedmetadata", seek, { once: true });
    }
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea, select");
    if (!keep || typing || event.ctrlKey || event.metaKey || event.altKey || !/^[0-9]$/.test(event.key)) {
      return;
    }
    const focused = event.target.closest("article");
    const article = focused || (current && current.closest("article"));
    const audio = article && article.querySelectorAll("audio")[Number(event.key)];
    if (audio) {
      event.preventDefault();
      audio.play();
    }
  });
})();

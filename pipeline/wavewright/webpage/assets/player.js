// One transport for all sounds of an utterance: whoever is chosen goes on where the last one was.
// Without this script the plain players of every sound are there instead.
(() => {
  const RECORDING = "0";
  const STEPS = 1000; // of a slider

  class Player {
    constructor(article) {
      this.article = article;
      this.clips = [...article.querySelectorAll(".clip[data-system]")];
      this.slider = article.querySelector(".position");
      this.time = article.querySelector(".time");
      this.button = article.querySelector(".play");
      this.stage = article.querySelector(".stage");
      this.systems = [...article.querySelectorAll("button[data-choose=system]")];
      this.conditions = [...article.querySelectorAll("button[data-choose=condition]")];
      this.condition = this.conditions[0].value;
      this.recording = this.find(RECORDING);
      this.clip = this.recording;
      article.querySelector(".clips").open = false;
      this.react();
      const { system, condition } = article.dataset;
      this.take(this.find(system, condition) || this.recording, 0);
    }

    get audio() {
      return this.clip.querySelector("audio");
    }

    get seconds() {
      return Number(this.clip.dataset.seconds);
    }

    get playing() {
      return !this.audio.paused;
    }

    find(system, condition) {
      return this.clips.find(({ dataset }) => dataset.system === system
        && (system === RECORDING || dataset.condition === condition));
    }

    react() {
      this.button.addEventListener("click", () => this.toggle());
      this.slider.addEventListener("input", () => {
        this.seek(this.slider.value / STEPS);
      });
      this.stage.addEventListener("click", (event) => {
        const strip = event.target.closest(".strip");
        if (strip) {
          const box = strip.getBoundingClientRect();
          this.seek((event.clientX - box.left) / box.width);
        }
      });
      for (const button of this.systems) {
        button.addEventListener("click", () => this.choose(button.value, this.condition));
      }
      for (const button of this.conditions) {
        button.addEventListener("click", () => this.chooseCondition(button.value));
      }
      this.article.addEventListener("play", (event) => {
        const clip = event.target.closest(".clip");
        if (clip !== this.clip) { // one of the plain players was used
          this.take(clip, event.target.currentTime);
        }
        inUse = this;
        this.follow();
      }, true);
      for (const name of ["pause", "ended", "seeked"]) {
        this.article.addEventListener(name, () => this.update(), true);
      }
    }

    toggle() {
      if (this.playing) {
        this.audio.pause();
      } else {
        this.audio.play();
      }
    }

    seek(share) {
      moveTo(this.audio, share * this.seconds);
      this.update(share);
    }

    chooseCondition(condition) {
      const system = this.clip.dataset.system;
      if (system === RECORDING || !this.choose(system, condition)) {
        this.condition = condition;
        this.show();
      }
    }

    // Same moment in the sound; same share of it where one of the two has a timing of its own.
    choose(system, condition) {
      const next = this.find(system, condition);
      if (!next || next === this.clip) {
        return Boolean(next);
      }
      const [was, audio] = [this.playing, this.audio];
      const share = audio.currentTime / this.seconds;
      const own = [this.clip, next].some(({ dataset }) => dataset.condition === "tts");
      const seconds = own ? share * Number(next.dataset.seconds) : audio.currentTime;
      audio.pause();
      this.take(next, audio.ended ? 0 : seconds);
      if (was) {
        this.audio.play();
      }
      return true;
    }

    take(clip, seconds) {
      this.clip = clip;
      this.condition = clip.dataset.condition || this.condition;
      if (this.audio.currentTime !== seconds) {
        moveTo(this.audio, seconds);
      }
      this.show();
      this.update(seconds / this.seconds);
    }

    // Sounds that may be wanted next are decoded before they are.
    prepare() {
      for (const clip of this.clips) {
        clip.querySelector("audio").preload = "auto";
      }
    }

    show() {
      for (const button of this.systems) {
        button.setAttribute("aria-pressed", button.value === this.clip.dataset.system);
        button.disabled = !this.find(button.value, this.condition);
      }
      for (const button of this.conditions) {
        button.setAttribute("aria-pressed", button.value === this.condition);
      }
      const chosen = this.clip;
      const strips = [this.strip(this.recording, ".mel")];
      if (chosen !== this.recording) {
        strips.push(this.strip(chosen, ".mel"), this.strip(chosen, ".difference"));
      }
      strips.push(this.strip(chosen, ".contour"), chosen.querySelector(".clip-numbers").cloneNode(true));
      this.stage.replaceChildren(...strips.filter(Boolean));
    }

    // A picture of the utterance's clip with its caption, as wide as there is room.
    strip(clip, kind) {
      const picture = clip.querySelector(kind);
      if (!picture) {
        return null;
      }
      const figure = document.createElement("figure");
      figure.className = "track";
      const caption = document.createElement("figcaption");
      caption.textContent = picture.closest("[data-caption]").dataset.caption;
      const strip = document.createElement("div");
      strip.className = "strip";
      const line = document.createElement("span");
      line.className = "playhead";
      line.hidden = clip === this.recording && this.clip.dataset.condition === "tts";
      strip.append(picture.cloneNode(true), line);
      figure.append(caption, strip);
      return figure;
    }

    follow() {
      this.update();
      if (this.playing) {
        requestAnimationFrame(() => this.follow());
      }
    }

    update(share = this.audio.currentTime / this.seconds) {
      const now = `${(share * this.seconds).toFixed(1)} of ${this.seconds.toFixed(1)} s`;
      this.slider.value = share * STEPS;
      this.stage.style.setProperty("--at", `${100 * Math.min(1, share)}%`);
      if (this.time.textContent !== now) {
        this.time.textContent = now;
        this.slider.setAttribute("aria-valuetext", now);
      }
      const word = this.playing ? "Pause" : "Play";
      if (this.button.textContent !== word) {
        this.button.textContent = word;
      }
    }
  }

  function moveTo(audio, seconds) {
    if (audio.readyState > 0) {
      audio.currentTime = seconds;
    } else {
      audio.addEventListener("loadedmetadata", () => { audio.currentTime = seconds; }, { once: true });
      audio.preload = "auto";
    }
  }

  let inUse = null;
  const keys = document.getElementById("keys");
  const players = [...document.querySelectorAll("article.listen")].map((one) => new Player(one));

  // The utterance that keys are for: in focus, or playing, or the one most in view.
  function meant() {
    const focused = players.find(({ article }) => article.contains(document.activeElement));
    if (focused || (inUse && inUse.playing)) {
      return focused || inUse;
    }
    const middle = innerHeight / 2;
    return players.find(({ article }) => {
      const { top, bottom } = article.getBoundingClientRect();
      return top <= middle && bottom >= middle;
    });
  }

  function goTo(player, from) {
    if (!player) {
      return;
    }
    const was = from.playing;
    from.audio.pause();
    const { system } = from.clip.dataset;
    const same = player.find(system, from.condition);
    if (same) {
      player.take(same, 0);
    }
    player.article.focus({ preventScroll: true });
    player.article.scrollIntoView({ block: "start" });
    if (was) {
      player.audio.play();
    }
  }

  const actions = {
    " ": (player) => player.toggle(),
    c: (player) => {
      const at = player.conditions.findIndex((button) => button.value === player.condition);
      player.chooseCondition(player.conditions[(at + 1) % player.conditions.length].value);
    },
    ArrowRight: (player) => goTo(players[players.indexOf(player) + 1], player),
    ArrowLeft: (player) => goTo(players[players.indexOf(player) - 1], player),
  };

  // Keys that the element in focus has a use for itself are left to it.
  function taken(key, element) {
    const needs = key === " " ? "button, summary, a, audio" : key.startsWith("Arrow")
      ? "input, audio, .scroll, figure" : "none";
    return element.matches(`input:not([type=range], [type=checkbox]), select, textarea, ${needs}`)
      || (key === " " && element.matches("[type=checkbox]"));
  }

  document.addEventListener("keydown", (event) => {
    const { key } = event;
    const digit = /^[0-9]$/.test(key);
    const chord = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (!keys || !keys.checked || chord || !(digit || key in actions) || taken(key, event.target)) {
      return;
    }
    const player = meant();
    if (player) {
      event.preventDefault();
      if (digit) {
        player.choose(key, player.condition);
      } else {
        actions[key](player);
      }
    }
  });

  for (const player of players) {
    for (const name of ["pointerenter", "focusin", "play"]) {
      player.article.addEventListener(name, () => player.prepare(), { once: true, capture: name === "play" });
    }
  }
})();

"use strict";
// A listening test: welcome, volume, practice, trials, finish. What was answered is kept in this
// browser, so that a closed page can go on, and leaves it only in the file that is saved.
(() => {
  const { test, sounds } = JSON.parse(document.getElementById("test").textContent);
  const byId = (id) => document.getElementById(id);
  const STORE = `wavewright-listening-${test.id}`;
  const LETTERS = ["A", "B", "X"];
  const kept = read();
  let state = null;
  let trials = [];
  let players = [];
  let shownAt = 0;

  // The listener's number decides the order of trials and which sound is A.

  function generator(text) {
    let number = 2166136261;
    for (const character of text) {
      number = Math.imul(number ^ character.codePointAt(0), 16777619);
    }
    number = number >>> 0 || 1;
    const next = () => {
      number ^= number << 13;
      number ^= number >>> 17;
      number ^= number << 5;
      return (number >>> 0) / 2 ** 32;
    };
    for (let skipped = 0; skipped < 16; skipped++) {
      next();
    }
    return next;
  }

  function shuffled(items, random) {
    const mixed = [...items];
    for (let last = mixed.length - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1));
      [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
    }
    return mixed;
  }

  const follows = (items) => items.some((item, place) => place && item.group === items[place - 1].group);

  // No sentence twice in a row, as far as there are others after it.
  function spread(items) {
    for (let place = 1; place < items.length; place++) {
      if (items[place].group === items[place - 1].group) {
        const free = (other) => other.group !== items[place - 1].group;
        const later = items.findIndex((other, index) => index > place && free(other));
        if (later > 0) {
          [items[place], items[later]] = [items[later], items[place]];
        }
      }
    }
    return items;
  }

  function arranged(listener) {
    const random = generator(`${test.id} ${listener}`);
    const reversed = random() < 0.5;
    const second = random() < 0.5;
    let order = spread(shuffled(test.trials, random));
    for (let tries = 0; tries < 50 && follows(order); tries++) {
      order = spread(shuffled(test.trials, random));
    }
    return [test.practice, ...order].map((trial) => ({
      id: trial.id,
      shown: reversed ? [...trial.stimuli].reverse() : trial.stimuli,
      reference: trial.references.length ? trial.references[Number(second)] : "",
    }));
  }

  function newListener() {
    const given = new URLSearchParams(location.search).get("listener") || "";
    if (/^[A-Za-z0-9_-]{1,64}$/.test(given)) {
      return given;
    }
    const bytes = crypto.getRandomValues(new Uint8Array(6));
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // What is kept in the browser; some forbid it for pages from the disk.

  function read() {
    try {
      return JSON.parse(localStorage.getItem(STORE));
    } catch {
      return null;
    }
  }

  function keep() {
    try {
      localStorage.setItem(STORE, JSON.stringify(state));
    } catch {
      state.unsaved = true;
    }
  }

  // Pages

  function show(id) {
    for (const section of document.querySelectorAll("section")) {
      section.hidden = section.id !== id;
    }
    byId(`${id}-head`).focus();
    scrollTo(0, 0);
  }

  function start(given) {
    state = given || {
      listener: newListener(), started: new Date().toISOString(), finished: "", device: "",
      position: 0, furthest: 0, records: {},
    };
    trials = arranged(state.listener);
    keep();
    if (!state.device) {
      showVolume();
    } else {
      showPlace();
    }
  }

  function showPlace() {
    if (state.position < trials.length) {
      showTrial();
    } else {
      showFinish();
    }
  }

  function showVolume() {
    players = [player(byId("volume-player"), "Play", "P", test.volume, [], () => volumeReady())];
    show("volume");
    volumeReady();
  }

  function volumeReady() {
    const device = byId("volume-form").elements.device.value;
    const heard = players[0].plays() > 0;
    byId("volume-next").disabled = !(heard && device);
    const missing = heard ? "Say what you listen with." : "Play the sound to its end.";
    say("volume-hint", heard && device ? "" : missing);
  }

  function showTrial() {
    const trial = trials[state.position];
    const record = state.records[trial.id] || { answer: "", seconds: 0, plays: [] };
    state.records[trial.id] = record;
    const names = trial.reference ? [...trial.shown, trial.reference] : trial.shown;
    byId("players").replaceChildren();
    players = names.map((name, index) => {
      const letter = names.length > 1 ? LETTERS[index] : "";
      return player(
        byId("players"), letter ? `Play ${letter}` : "Play", letter || "P", name,
        [record.plays, index], () => trialReady(),
      );
    });
    byId("trial-form").reset();
    const chosen = record.answer && choice(record.answer);
    if (chosen) {
      chosen.checked = true;
    }
    const last = trials.length - 1;
    byId("trial-head").textContent = state.position ? `Trial ${state.position} of ${last}` : "Practice";
    byId("practice-note").hidden = state.position > 0;
    byId("progress").value = state.position / trials.length;
    byId("back").disabled = state.position === 0 || state.position < state.furthest;
    shownAt = performance.now();
    show("trial");
    trialReady();
  }

  function trialReady() {
    const missing = players.filter((one) => one.plays() === 0).map((one) => one.letter);
    byId("question").disabled = missing.length > 0;
    byId("next").disabled = missing.length > 0 || !answered();
    if (missing.length) {
      say("hint", `Listen to the end${players.length > 1 ? `: ${missing.join(", ")}` : ""}.`);
    } else {
      say("hint", answered() ? "" : "Now choose.");
    }
  }

  function leaveTrial(step) {
    const record = state.records[trials[state.position].id];
    record.answer = answered() || record.answer;
    record.seconds += Math.round(performance.now() - shownAt) / 1000;
    silence();
    state.position += step;
    state.furthest = Math.max(state.furthest, state.position);
    if (state.position === trials.length) {
      state.finished = new Date().toISOString();
    }
    keep();
    showPlace();
  }

  function showFinish() {
    byId("answers").value = JSON.stringify(results(), null, 1);
    show("finish");
  }

  function results() {
    const answers = trials.slice(1).map(({ id, shown, reference }) => {
      const { answer, seconds, plays } = state.records[id];
      return { trial: id, shown, reference, answer, seconds: Math.round(seconds * 1000) / 1000, plays };
    });
    const { listener, started, finished, device } = state;
    return { schema_version: 1, test: test.id, listener, started, finished, device, answers };
  }

  // Sounds: from beginning to end only, one at a time; heard once the end was reached.

  function player(place, label, letter, name, [plays = [], index = 0], changed) {
    const row = byId("player").content.firstElementChild.cloneNode(true);
    const [button, bar, heard, audio] = row.children;
    plays[index] = plays[index] || 0;
    button.querySelector(".name").textContent = label;
    button.querySelector("kbd").textContent = letter;
    const draw = () => {
      button.querySelector(".sign").textContent = audio.paused ? "▶" : "■";
      button.querySelector(".name").textContent = audio.paused ? label : label.replace("Play", "Stop");
      heard.textContent = plays[index] ? "✓ heard" : "not heard yet";
    };
    const stop = () => {
      audio.pause();
      audio.currentTime = 0;
      bar.value = 0;
      draw();
    };
    const toggle = () => {
      const playing = !audio.paused;
      silence();
      if (!playing) {
        audio.play().then(draw, problem);
      }
    };
    const problem = (reason) => {
      if (!reason || reason.name !== "AbortError") {
        heard.textContent = "cannot be played";
        const hint = byId("trial").hidden ? "volume-hint" : "hint";
        say(hint, "This sound cannot be played. If you opened the page inside a zip archive, "
          + "unpack the archive first.", true);
      }
    };
    audio.addEventListener("timeupdate", () => {
      bar.value = audio.duration ? audio.currentTime / audio.duration : 0;
    });
    audio.addEventListener("ended", () => {
      plays[index] += 1;
      stop();
      changed();
      keep();
    });
    audio.addEventListener("error", () => problem());
    button.addEventListener("click", toggle);
    audio.src = sounds[name];
    place.append(row);
    draw();
    return { letter, stop, toggle, plays: () => plays[index] };
  }

  function silence() {
    for (const one of players) {
      one.stop();
    }
  }

  // Answers

  function answered() {
    return byId("trial-form").elements.answer.value;
  }

  function choice(value) {
    return [...byId("trial-form").elements.answer].find((input) => input.value === value);
  }

  function say(id, text, isProblem = false) {
    byId(id).textContent = text;
    byId(id).classList.toggle("problem", isProblem);
  }

  function press(key) {
    const one = players.find((candidate) => candidate.letter === key.toUpperCase());
    if (one) {
      one.toggle();
      return true;
    }
    if (byId("trial").hidden || byId("question").disabled) {
      return false;
    }
    const place = test.kind === "mos" ? key : (test.choices[Number(key) - 1] || {}).value;
    const input = place && choice(place);
    if (input) {
      input.checked = true;
      input.focus();
      trialReady();
    }
    return Boolean(input);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.matches("textarea")) {
      return;
    }
    if (byId("trial").hidden && byId("volume").hidden) {
      return;
    }
    // Within the form and on buttons, Enter does what browsers do.
    if (event.key === "Enter" && !event.target.closest("form, button")) {
      byId(byId("trial").hidden ? "volume-next" : "next").click();
    } else if (press(event.key)) {
      event.preventDefault();
    }
  });

  byId("begin").addEventListener("click", () => start(null));
  byId("resume").addEventListener("click", () => start(kept));
  byId("volume-form").addEventListener("change", volumeReady);
  byId("volume-form").addEventListener("submit", (event) => {
    event.preventDefault();
    state.device = byId("volume-form").elements.device.value;
    silence();
    byId("volume-player").replaceChildren();
    keep();
    showPlace();
  });
  byId("trial-form").addEventListener("change", trialReady);
  byId("trial-form").addEventListener("submit", (event) => {
    event.preventDefault();
    leaveTrial(1);
  });
  byId("back").addEventListener("click", () => leaveTrial(-1));
  byId("correct").addEventListener("click", () => {
    state.position -= 1;
    showTrial();
  });
  byId("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([byId("answers").value], { type: "application/json" }));
    link.download = `ratings-${state.listener}.json`;
    link.click();
    say("saved", `Saved as ${link.download}, unless your browser says otherwise.`);
  });
  byId("copy").addEventListener("click", () => {
    document.querySelector("#finish details").open = true;
    byId("answers").select();
    const copied = document.execCommand("copy");
    say("saved", copied ? "Copied." : "Not copied: copy the marked text yourself.");
  });
  addEventListener("beforeunload", (event) => {
    if (state && state.unsaved && !state.finished) {
      event.preventDefault();
    }
  });

  for (const element of document.querySelectorAll(".with-saved")) {
    element.hidden = !kept;
  }
  if (kept) {
    byId("begin").textContent = "Begin anew as another listener";
    byId("begin").classList.remove("main");
  }
  show("welcome");
})();
